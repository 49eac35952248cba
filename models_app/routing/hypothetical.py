"""A request that nobody has sent, for asking what would become of it."""

import datetime as dt
from typing import Any

from pydantic import Field, field_validator

from models_app.core.clock import now
from models_app.routing.conditions import Endpoint, Part
from models_app.routing.facts import Facts
from models_app.routing.models import Route


class Hypothetical(Part):
    """What is left out is as a bare request of one's own would have it."""

    tenant: str = Field("", max_length=63, description="Name of a team; the route's own without")
    token: str = Field("", max_length=16, description="First characters of a token")
    token_name: str = Field("", max_length=120)
    user: str = Field("", max_length=254, description="Mail address of the token's owner")
    adapter: str = Field(
        "", max_length=100, description="What stands behind the colon of team/route:adapter"
    )
    headers: dict[str, str] = Field(default_factory=dict, max_length=100)
    endpoint: Endpoint = "chat.completions"
    body: dict[str, Any] = Field(default_factory=dict, description="As sent to /v1")
    at: dt.datetime | None = Field(None, description="When; now if left out")

    @field_validator("at")
    @classmethod
    def _aware(cls, value: dt.datetime | None) -> dt.datetime | None:
        return value.replace(tzinfo=dt.UTC) if value is not None and value.tzinfo is None else value


def facts_of(route: Route, given: Hypothetical) -> Facts:
    """The facts of a hypothetical request; `route` has its team."""
    return Facts(
        tenant=given.tenant or route.team.slug,
        token=given.token,
        token_name=given.token_name,
        user=given.user,
        headers={name.lower(): value for name, value in given.headers.items()},
        endpoint=given.endpoint,
        stream=given.body.get("stream") is True,
        at=given.at or now(),
        request="hypothetical",
        read_body=lambda: given.body,
    )
