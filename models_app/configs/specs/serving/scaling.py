"""When a deployment gets more replicas, and when fewer."""

import re
from functools import cache
from typing import Any, Literal
from zoneinfo import available_timezones

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import Field, ValidationInfo, field_validator

from models_app.configs.specs.base import Spec, refuse

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Hours(Spec):
    """A time of the week with a number of replicas of its own."""

    days: list[Day] = Field(default_factory=list, description="Empty: every day")
    start: str = Field(description="HH:MM", json_schema_extra={"pattern": CLOCK})
    end: str = Field(
        description="HH:MM; not after the start: of the next day",
        json_schema_extra={"pattern": CLOCK},
    )
    replicas: int = Field(ge=0, le=16, description="At least so many in this time")

    @field_validator("start", "end")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if not re.fullmatch(CLOCK, value, re.ASCII):
            raise refuse(_("Give a time of the day, such as 08:30."))
        return value


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

    @field_validator("min_replicas")
    @classmethod
    def _below_most(cls, value: int, info: ValidationInfo) -> int:
        most = info.data.get("max_replicas", 0)
        if most and value > most:
            said = _("At most %(most)s, the most replicas; or allow more of those.")
            raise refuse(said % {"most": most})
        return value

    @field_validator("hours")
    @classmethod
    def _within_bounds(cls, value: list[Hours], info: ValidationInfo) -> list[Hours]:
        most = info.data.get("max_replicas", 0)
        for place, hours in enumerate(value, 1):
            if most and hours.replicas > most:
                said = _("Line %(line)s asks for %(asked)s replicas, and the most are %(most)s.")
                raise refuse(said % {"line": place, "asked": hours.replicas, "most": most})
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in known_timezones():
            raise refuse(_("There is no such time zone. Use a name such as Europe/Berlin or UTC."))
        return value


@cache
def known_timezones() -> frozenset[str]:
    """Names that the setting may have."""
    return frozenset(available_timezones())


def scaling_warnings(spec: Any) -> dict[str, str]:
    """What of the scaling is allowed and yet probably not meant."""
    fields = ScalingSettings.model_fields
    if not spec.max_replicas:
        unused = _("Without most replicas (0) this is not used.")
        names = [name for name in fields if name != "max_replicas"]
        changed = [name for name in names if getattr(spec, name) != _default(name)]
        return dict.fromkeys(changed, unused)
    found = {}
    if spec.min_replicas == spec.max_replicas:
        found["max_replicas"] = _("The fewest are as many: there is nothing to scale.")
    if not spec.min_replicas <= spec.replicas <= spec.max_replicas:
        found["replicas"] = _("It starts with the nearest number within the bounds.")
    if spec.min_replicas and spec.sleep_after_s != _default("sleep_after_s"):
        found["sleep_after_s"] = _("It sleeps only where the fewest replicas are 0.")
    if spec.target_requests > spec.max_slots:
        said = _("A replica works on %(slots)s at once, so the others wait before more start.")
        found["target_requests"] = said % {"slots": spec.max_slots}
    if any(hours.replicas < spec.min_replicas for hours in spec.hours):
        found["hours"] = _("The fewest replicas hold at all times; a lower number changes nothing.")
    if spec.timezone != _default("timezone") and not spec.hours:
        found["timezone"] = _("Without hours this is not used.")
    return found


def _default(name: str) -> Any:
    return ScalingSettings.model_fields[name].get_default(call_default_factory=True)


def scaling_effects(new: Any) -> dict[str, str]:
    """What a change of these settings brings about, by setting."""
    most, fewest = new.get("max_replicas"), new.get("min_replicas")
    return {
        "max_replicas": _("Between the bounds the replicas follow the requests.")
        if most
        else _("The number of replicas is fixed."),
        "min_replicas": _("It sleeps when nobody asks; the next request waits for a replica.")
        if fewest == 0
        else _("At least so many replicas at any time."),
        "target_requests": _("Replicas are added and taken away at other numbers of requests."),
        "target_first_token_ms": _("Replicas are added at another wait for the first token."),
        "scale_down_after_s": _("Replicas that are no longer needed leave sooner or later."),
        "sleep_after_s": _("It sleeps sooner or later."),
        "hours": _("At other times of the week there are at least so many replicas."),
        "timezone": _("The hours are those of another place."),
    }
