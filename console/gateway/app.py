"""The gateway's ASGI application."""

from collections.abc import Awaitable, Callable
from typing import Any

from console.gateway.errors import unauthorized

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Gateway:
    """ASGI 3 for `/v1/`."""

    async def startup(self) -> None:
        """Begin."""

    async def shutdown(self) -> None:
        """End."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = unauthorized()
        headers = [(b"content-type", b"application/json"), *error.headers()]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": error.body()})
