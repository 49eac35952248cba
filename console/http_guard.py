"""HTTP of the server processes, with bounds on the head of a request, and errors that clients read.

uvicorn takes a head of any length for any time. Here one that is too long is answered with 431, one
that does not come to its end with 408, and what is no HTTP with 400: each as a JSON object with
`error`, the shape that clients of `/v1` know, and on a connection that is closed after it.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

#: Request line and headers together; proxies have 8 to 32 KiB.
HEAD_LIMIT = 64 << 10
HEADERS_LIMIT = 200
HEAD_SECONDS = 30.0


class GuardedHttp(HttpToolsProtocol):
    """Given to uvicorn as `--http console.http_guard:GuardedHttp`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        #: The first head is waited for as well; the next ones only when they have begun.
        self._in_head = True
        self._just_begun = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._head_begins()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_ends()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            return
        if self._head_timer is None:
            self._head_begins()
        # In front of a beginning may lie the end of another request: that piece does not count.
        self._head_bytes = 0 if self._just_begun else self._head_bytes + len(data)
        self._just_begun = False
        if self._head_bytes > HEAD_LIMIT:
            self._refuse(*_TOO_LONG)

    def on_message_begin(self) -> None:
        self._in_head = self._just_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_ends()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size <= HEAD_LIMIT and len(self.headers) <= HEADERS_LIMIT:
            super().on_headers_complete()
            return
        served, self.app = self.app, _too_long
        try:
            super().on_headers_complete()
        finally:
            self.app = served

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "invalid_http", msg)

    def _head_begins(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_ends(self) -> None:
        self._in_head = self._just_begun = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.scope is None:
            self.transport.close()  # opened beforehand, and never used: nobody waits for an answer
        elif self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._refuse(408, "head_timeout", f"No request came within {HEAD_SECONDS:g} s.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.transport.is_closing():
            return
        body = _body(code, message)
        lines = [b"%b: %b\r\n" % header for header in _headers(len(body))]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()


_TOO_LONG = (
    431,
    "headers_too_large",
    f"The headers are longer than {HEAD_LIMIT >> 10} KiB or more than {HEADERS_LIMIT}. Send fewer.",
)


def _body(code: str, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def _headers(length: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"application/json"),
        (b"x-should-retry", b"false"),
        (b"content-length", b"%d" % length),
        (b"connection", b"close"),
    ]


async def _too_long(scope: Any, receive: Any, send: Any) -> None:
    """The application of a request whose head is whole and too long."""
    status, code, message = _TOO_LONG
    body = _body(code, message)
    headers = _headers(len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
