"""The little of HTTP that the gateway needs, on bare ASGI."""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from console.gateway.errors import GatewayError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_LIMIT = 1 << 20
BODY_SECONDS = 30
#: A client that takes nothing for so long is given up, and with it the place at the replica.
READ_SECONDS = 60
JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,64}")


class Disconnected(Exception):
    """The client left before its request was complete."""


class Kept:
    """What goes to a client, kept for a comparison up to `limit` bytes."""

    __slots__ = ("_limit", "_parts", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        """Keep a part, as long as there is room for all."""
        self.size += len(data)
        if self.size <= self._limit:
            self._parts.append(data)
        else:
            self._parts.clear()

    def whole(self) -> bytes | None:
        """All of it; None where it was too much."""
        return b"".join(self._parts) if self.size <= self._limit else None


class HttpCall:
    """One request and the way to answer it."""

    __slots__ = (
        "_headers",
        "_length",
        "_send",
        "_writing_since",
        "authorization",
        "copy",
        "method",
        "path",
        "receive",
        "request_id",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.receive = receive
        self._send = send
        #: The status that went out; 0 until then.
        self.status = 0
        self._writing_since = 0.0
        #: None where the header is missing or there are several.
        self.authorization: bytes | None = None
        #: Keeps what goes to the client, where somebody wants to compare it.
        self.copy: Kept | None = None
        self._length = 0
        self.request_id = ""
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._read_headers(self._headers)

    def _read_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        seen = 0
        for name, value in headers:
            if name == b"authorization":
                self.authorization = value
                seen += 1
            elif name == b"x-request-id":
                if _REQUEST_ID.fullmatch(value):
                    self.request_id = value.decode("ascii")
            elif name == b"content-length" and value.isdigit():
                self._length = int(value)
        if seen > 1:
            self.authorization = None
        if not self.request_id:
            self.request_id = f"req-{secrets.token_hex(12)}"

    def header(self, name: str) -> str:
        """The header of this lower-case name, the first if there are several; "" without one."""
        wanted = name.encode()
        found = next((value for key, value in self._headers if key == wanted), b"")
        return found.decode("latin-1").strip()

    def headers(self) -> dict[str, str]:
        """All headers by lower-case name, each the first of its name."""
        return {
            name.decode("latin-1"): value.decode("latin-1").strip()
            for name, value in reversed(self._headers)
        }

    async def body(self) -> bytes:
        """The whole body; too large and too slow ones are refused. May raise Disconnected."""
        if self._length > BODY_LIMIT:
            raise _too_large()
        message = await self._first_part()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > BODY_LIMIT:
                raise _too_large()
            return body
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._rest(message)
        except TimeoutError:
            raise _too_slow() from None

    async def _first_part(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self.receive()
        except TimeoutError:
            raise _too_slow() from None

    async def _rest(self, message: dict[str, Any]) -> bytes:
        parts, size = [], 0
        while True:
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_LIMIT:
                raise _too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    async def answer(
        self, status: int, body: bytes, *extra: tuple[bytes, bytes], kind: bytes = JSON
    ) -> None:
        """Send a whole answer."""
        await self.start(status, kind, (b"content-length", b"%d" % len(body)), *extra)
        if self.copy is not None:
            self.copy.add(body)
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: GatewayError) -> None:
        """Send an error in OpenAI's shape."""
        await self.answer(error.status, error.body(), *error.headers())

    async def start(self, status: int, kind: bytes, *extra: tuple[bytes, bytes]) -> None:
        """Send the status and the headers."""
        self.status = status
        headers = [
            (b"content-type", kind),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", self.request_id.encode()),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of a stream; waits while the client reads too slowly."""
        if self.copy is not None:
            self.copy.add(data)
        self._writing_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        self._writing_since = 0.0

    def stalled(self) -> bool:
        """Whether the client has taken nothing of what was written for too long."""
        since = self._writing_since
        return since > 0 and time.monotonic() - since > READ_SECONDS


def _too_large() -> GatewayError:
    return GatewayError(
        413,
        "request_too_large",
        f"The request is larger than {BODY_LIMIT >> 20} MiB. Send less text.",
    )


def _too_slow() -> GatewayError:
    return GatewayError(
        408, "body_timeout", f"The request did not arrive within {BODY_SECONDS} s.", retry_after=1
    )
