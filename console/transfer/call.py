"""One request: headers, body and answer on bare ASGI, with a limit on every wait."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

#: Longest silence of a caller in the middle of a transfer.
SILENCE_S = 60
CHUNK = 1 << 20


class Refused(Exception):
    """The request is answered with this status."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class Gone(Exception):
    """The caller has hung up."""


class Call:
    """A request and the way to answer it; files are touched in the threads of `executor`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, executor: Executor) -> None:
        self.method: str = scope["method"]
        self.started = False
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive, self._send, self._executor = receive, send, executor

    def header(self, name: bytes) -> str:
        """Its text; empty where it is missing or given twice."""
        found = [value for key, value in self._headers if key == name]
        return found[0].decode("latin-1") if len(found) == 1 else ""

    async def run(self, action: Callable[..., Any], *args: Any) -> Any:
        """Do something that blocks, in a thread."""
        return await self.run_in(self._executor, action, *args)

    async def run_in(self, executor: Executor, action: Callable[..., Any], *args: Any) -> Any:
        """Do something that blocks, in a thread of others than those for files."""
        return await asyncio.get_running_loop().run_in_executor(executor, action, *args)

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces of about CHUNK bytes; raises Gone or TimeoutError."""
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            async with asyncio.timeout(SILENCE_S):
                message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size, more = size + len(pieces[-1]), message.get("more_body", False)
            if size >= CHUNK or not more:
                yield b"".join(pieces)
                pieces, size = [], 0

    async def gone(self) -> None:
        """Returns when the caller hangs up; its body must be empty."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Send the status and the headers."""
        self.started = True
        common = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*common, *headers]}
        )

    async def write(self, data: bytes, *, last: bool) -> None:
        """Send a piece; TimeoutError when the caller does not take it."""
        async with asyncio.timeout(SILENCE_S):
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        kind: str = "text/plain",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send a whole answer."""
        length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
        await self.start(status, (b"content-type", kind.encode()), *length, *headers)
        await self.write(body if self.method != "HEAD" else b"", last=True)
