"""When a deployment gets more replicas, and when fewer."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Hours(Spec):
    """A time of the week with a number of replicas of its own."""

    days: list[Day] = Field(default_factory=list, description="Empty: every day")
    start: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM")
    end: str = Field(
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM; before the start: the next day"
    )
    replicas: int = Field(ge=0, le=16, description="At least so many in this time")


class ScalingSettings(Spec):
    """By hand where `max_replicas` is 0, else between the two bounds."""

    max_replicas: int = Field(
        0,
        ge=0,
        le=16,
        title=gettext_noop("Most replicas"),
        description=gettext_noop("0 keeps the number of replicas fixed."),
    )
    min_replicas: int = Field(
        1,
        ge=0,
        le=16,
        title=gettext_noop("Fewest replicas"),
        description=gettext_noop("0 lets it sleep until the next request."),
    )
    target_requests: float = Field(
        4.0,
        gt=0,
        le=512,
        title=gettext_noop("Requests per replica"),
        description=gettext_noop("Running and waiting; more of them ask for another replica."),
    )
    target_first_token_ms: int = Field(
        0,
        ge=0,
        le=600_000,
        title=gettext_noop("First token within (ms)"),
        description=gettext_noop("95 of 100 requests; 0 does not look at it."),
    )
    scale_down_after_s: int = Field(
        120,
        ge=5,
        le=86_400,
        title=gettext_noop("Calm before fewer (seconds)"),
        description=gettext_noop("So long fewer replicas must have sufficed."),
    )
    sleep_after_s: int = Field(
        600,
        ge=5,
        le=86_400,
        title=gettext_noop("Idle before sleep (seconds)"),
        description=gettext_noop("Without any request, where the fewest replicas are 0."),
    )
    hours: list[Hours] = Field(
        [],
        max_length=50,
        title=gettext_noop("Hours"),
        description=gettext_noop("Times of the week with a number of replicas of their own."),
    )
    timezone: str = Field(
        "UTC",
        max_length=60,
        title=gettext_noop("Time zone"),
        description=gettext_noop("Of the hours, as in Europe/Berlin."),
    )
