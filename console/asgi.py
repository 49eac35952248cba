"""The entry of the web process: `/v1` to the gateway (but files and fine-tuning to pages), `/ws` to
Channels, `/internal` to the store of joined nodes, `/hf` to clients of the Hub, everything else to
pages.

The gateway can also run apart (`console.gateway.asgi`), and then `SLIPWAY_SPLIT_GATEWAY=1` keeps
it out of this process.
"""

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings.web")

import django

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402

from console.finetuning.paths import is_tuning  # noqa: E402
from console.gateway.app import Gateway  # noqa: E402
from console.gateway.http import HttpCall  # noqa: E402
from console.hf.app import PREFIX as HF_PREFIX  # noqa: E402
from console.hf.app import Hub  # noqa: E402
from console.internal.app import PREFIX, Internal  # noqa: E402
from console.live.routing import websocket_application  # noqa: E402
from console.memory import startup_kept  # noqa: E402
from console.one_hop import OneHopHandler, Receive, Scope, Send  # noqa: E402

pages = OneHopHandler(settings.HTTP_THREADS)
internal = Internal()
hub = Hub()
gateway = None if settings.SPLIT_GATEWAY else Gateway()

import_module(settings.ROOT_URLCONF)  # else the first request loads the pages
startup_kept()


async def application(scope: Scope, receive: Receive, send: Send) -> Any:
    """Dispatch by kind of connection and path prefix."""
    kind = scope["type"]
    if kind == "websocket":
        socket: Any = websocket_application
        return await socket(scope, receive, send)
    if kind == "lifespan":
        return await _lifespan(receive, send)
    if gateway is not None and scope["path"].startswith("/v1/") and not is_tuning(scope["path"]):
        return await gateway(scope, receive, send)
    if gateway is not None and scope["path"] == "/metrics":
        return await gateway.show_metrics(HttpCall(scope, receive, send))
    if scope["path"].startswith(PREFIX):
        return await internal(scope, receive, send)
    if scope["path"].startswith(HF_PREFIX):
        return await hub(scope, receive, send)
    return await pages(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup" and gateway is not None:
            await gateway.startup()
        if message["type"] == "lifespan.shutdown" and gateway is not None:
            await gateway.shutdown()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
