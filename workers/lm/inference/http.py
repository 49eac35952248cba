"""The little of HTTP that the model server needs, on bare ASGI."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .answers import encode
from .errors import BadRequest, ServingError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_LIMIT = 8 * 2**20
BODY_SECONDS = 30.0
#: How long a reader may take nothing before its answer is given up; the gateway is less patient.
READ_SECONDS = 75.0
JSON = b"application/json"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")


class Disconnected(Exception):
    """The client left before its request was complete."""


class HttpCall:
    """One request and the way to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._receive = receive
        self._send = send
        self.request_id = self._request_id()
        self.status = 0

    def header(self, name: bytes) -> str:
        """The one value of a header; empty where it is missing or there are several."""
        given = self._header(name)
        return given[0].decode("latin-1").strip() if len(given) == 1 else ""

    def _header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._headers if key.lower() == name]

    def _request_id(self) -> str:
        given = self._header(b"x-request-id")
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
            return given[0].decode("ascii")
        return f"req-{uuid.uuid4().hex}"

    def check_secret(self, secret: bytes) -> None:
        """Only the gateway knows the secret; the comparison takes the same time for all."""
        given = self._header(b"authorization")
        value = given[0] if len(given) == 1 else b""
        scheme, _, token = value.partition(b" ")
        known = hmac.compare_digest(token.strip(), secret)
        if not known or scheme.lower() != b"bearer":
            raise ServingError(
                401,
                "This model server takes calls from its gateway only.",
                code="invalid_api_key",
                kind="authentication_error",
            )

    async def json(self) -> Any:
        """The body as JSON; too large, too slow and malformed bodies are refused."""
        try:
            raw = await asyncio.wait_for(self._body(), BODY_SECONDS)
        except TimeoutError as error:
            raise ServingError(
                408, "The request body did not arrive in time.", code="body_timeout"
            ) from error
        try:
            return json.loads(
                raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_each_once
            )
        except DuplicateKey as error:
            raise BadRequest(
                f"The request body has the key '{str(error)[:80]}' twice.", code="invalid_json"
            ) from error
        except (ValueError, RecursionError) as error:
            raise BadRequest("The request body is not valid JSON.", code="invalid_json") from error

    async def _body(self) -> bytes:
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_LIMIT:
                raise ServingError(
                    413,
                    f"The request body is larger than {BODY_LIMIT} bytes.",
                    code="request_too_large",
                )
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def wait_for_disconnect(self) -> None:
        """Returns when the client has gone (only to be used after the body was read)."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self, status: int, body: Any, extra: Headers | None = None, *, kind: bytes = JSON
    ) -> None:
        """Send a whole answer: JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) else encode(body)
        length = (b"content-length", str(len(raw)).encode())
        await self._start(status, kind, [length, *(extra or [])])
        await self._write({"type": "http.response.body", "body": raw})

    async def refuse(self, error: ServingError) -> None:
        """Send an error in OpenAI's shape, telling clients whether to try again."""
        again = error.retry_after is not None
        extra = [(b"x-should-retry", b"true" if again else b"false")]
        if again:
            extra.append((b"retry-after", str(error.retry_after).encode()))
        if error.status == 401:
            extra.append((b"www-authenticate", b"Bearer"))
        await self.answer(error.status, error.body(), extra)

    async def start_stream(self, extra: Headers) -> None:
        """Begin a stream of server-sent events."""
        await self._start(200, b"text/event-stream", [(b"x-accel-buffering", b"no"), *extra])

    async def stream(self, raw: bytes, *, last: bool = False) -> None:
        """Send a piece of the stream."""
        await self._write({"type": "http.response.body", "body": raw, "more_body": not last})

    async def _write(self, message: Message) -> None:
        """Wait for the reader, but not for ever: one that takes nothing is given up."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise Disconnected from None

    async def _start(self, status: int, kind: bytes, extra: Headers) -> None:
        self.status = status
        headers = [
            (b"content-type", kind),
            (b"cache-control", b"no-store"),
            (b"x-request-id", self.request_id.encode()),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


class DuplicateKey(ValueError):
    """Readers of JSON do not agree on which of the two counts."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise DuplicateKey(next(name for name in names if names.count(name) > 1))
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
