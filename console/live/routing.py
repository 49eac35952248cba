"""Where the socket lives, and what stands in front of it: origin check, session, user."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from console.live.consumers import LiveConsumer

# The stubs of Django's `path` know only views, those of Channels only their own pattern class.
websocket_urlpatterns: list[Any] = [path("ws/live/", LiveConsumer.as_asgi())]  # type: ignore[arg-type]
websocket_application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
)
