"""The gateway as a process of its own: `/v1`, and `/healthz` for whoever watches it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings.web")

import django

django.setup(set_prefix=False)

from console.gateway import errors  # noqa: E402
from console.gateway.app import Gateway  # noqa: E402
from console.gateway.http import HttpCall, Receive, Scope, Send  # noqa: E402
from console.memory import startup_kept  # noqa: E402

gateway = Gateway()

startup_kept()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Requests below `/v1/` to the gateway; everything else does not exist here."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4404})
    elif scope["path"].startswith("/v1/"):
        await gateway(scope, receive, send)
    elif scope["path"] == "/metrics":
        await gateway.show_metrics(HttpCall(scope, receive, send))
    else:
        await _other(HttpCall(scope, receive, send))


async def _other(call: HttpCall) -> None:
    if call.path == "/healthz" and call.method == "GET":
        ready = gateway.tables.routes.loaded
        status, word = (200, b"ok") if ready else (503, b"starting")
        await call.answer(status, b'{"status": "%s"}' % word)
        return
    await call.refuse(errors.unknown_path(call.path))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await gateway.startup()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await gateway.shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
