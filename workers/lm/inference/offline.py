"""Answers without a network: the model server's own application, called in the same process.

So a batch is checked, computed and refused exactly as a call of a replica is.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from . import headers
from .errors import GenerationFailed
from .host import EngineHost
from .server import EngineBroken, ServeOptions

#: What another try may answer: the engine was full, or a step of it failed.
_AGAIN = frozenset({429, 500, 503})
_TRIES = 3


class Offline:
    """A loaded model that answers OpenAI's calls."""

    def __init__(self, host: EngineHost, secret: str) -> None:
        self._host = host
        self._app = host.app(None)
        self._headers = [
            (b"authorization", f"Bearer {secret}".encode()),
            (b"content-type", b"application/json"),
            (headers.PRIORITY.encode(), b"low"),
        ]

    @property
    def broken(self) -> str | None:
        """Why the model must not go on; None while it may."""
        return self._host.engine.broken

    async def ask(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body of the answer. Raises EngineBroken."""
        status, answer = 0, b""
        for _ in range(_TRIES):
            status, answer = await self._call(path, json.dumps(body).encode())
            if self.broken:
                raise EngineBroken(self.broken)
            if status not in _AGAIN:
                break
        return status, json.loads(answer)

    async def _call(self, path: str, raw: bytes) -> tuple[int, bytes]:
        asked = [{"type": "http.request", "body": raw, "more_body": False}]
        status, parts = 0, []

        async def receive() -> Any:
            if asked:
                return asked.pop()
            # Nobody hangs up but whoever cancels this call.
            await asyncio.Event().wait()
            raise GenerationFailed("unreachable")

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        scope = {"type": "http", "method": "POST", "path": path, "headers": self._headers}
        await self._app(scope, receive, send)
        return status, b"".join(parts)


@contextmanager
def offline(
    options: ServeOptions, log: Callable[[str], None], should_stop: Callable[[], bool]
) -> Iterator[Offline | None]:
    """Load the model; None where asked to stop before it was there. Raises ModelRefused."""
    secret = secrets.token_urlsafe(24)
    host = EngineHost(replace(options, secret=secret), log)
    host.start()
    try:
        yield Offline(host, secret) if host.wait_ready(should_stop) else None
    finally:
        host.stop()
