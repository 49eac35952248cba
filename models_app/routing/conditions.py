"""What a rule may test: a small tree of conditions, each with exactly one test.

`{"tenant": ["gold"]}` is a test of a fact; `all`, `any` and `not` hold further conditions. Nothing
in a condition is ever executed as code.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from django.utils.translation import gettext as _
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from models_app.routing.language import LANGUAGES, UNKNOWN

MOST_DEPTH = 5
MOST_VALUES = 100
#: Tests whose value the caller chooses freely; a locked rule never relies on them alone.
CLAIMS = frozenset({"header", "task", "token_name"})
GROUPS = ("all", "any", "not")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_HEADER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
#: Headers that carry secrets are never compared, for comparisons are shown.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Value = Annotated[str, Field(min_length=1, max_length=200)]
#: One value or several, of which one must fit; `*` at an end stands for anything.
Values = Annotated[
    list[Value], BeforeValidator(_listed), Field(min_length=1, max_length=MOST_VALUES)
]


class Part(BaseModel):
    """Unknown fields are refused by name; numbers are never made of texts."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class HeaderTest(Part):
    """A header of the request: there, absent, or with one of these values."""

    name: str = Field(description="Lower-case name")
    values: Values | None = Field(None, alias="in", description="Without: any value")
    present: bool = Field(True, description="false: the header must be missing")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return header_name(value)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.values is not None and not self.present:
            raise ValueError(_("A header that is missing has no value: give one of both."))
        return self


class Span(Part):
    """At least and at most so many, both included."""

    at_least: int | None = Field(None, ge=0, le=1 << 31)
    at_most: int | None = Field(None, ge=0, le=1 << 31)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(_("Give “at_least”, “at_most”, or both."))
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(_("“at_least” is more than “at_most”: nothing fits."))
        return self


class TimeTest(Part):
    """A time of day in a time zone; where `until` is earlier than `since`, over midnight."""

    zone: str = Field("UTC", description="Name of a time zone such as Europe/Berlin")
    since: str | None = Field(None, description="HH:MM, included")
    until: str | None = Field(None, description="HH:MM, not included")
    days: list[Day] = Field(default_factory=lambda: list(DAYS), min_length=1, max_length=7)

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            said = _("There is no such time zone. Use a name such as Europe/Berlin.")
            raise ValueError(said) from None
        return value

    @field_validator("since", "until")
    @classmethod
    def _clock(cls, value: str | None) -> str | None:
        if value is not None and not _CLOCK.fullmatch(value):
            raise ValueError(_("Use a time of day such as 08:30."))
        return value

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.since is None) != (self.until is None):
            raise ValueError(_("Give both “since” and “until”, or none of them."))
        if self.since is not None and self.since == self.until:
            raise ValueError(_("“since” and “until” are the same: no time fits."))
        return self

    def holds(self, at: dt.datetime) -> bool:
        """Whether an aware moment lies in it. After midnight the day is that of the evening."""
        local = at.astimezone(zoneinfo.ZoneInfo(self.zone))
        day, clock = local.weekday(), f"{local:%H:%M}"
        if self.since is None or self.until is None:
            return DAYS[day] in self.days
        if self.since < self.until:
            return DAYS[day] in self.days and self.since <= clock < self.until
        if clock >= self.since:
            return DAYS[day] in self.days
        return clock < self.until and DAYS[day - 1] in self.days


Language = Literal[*LANGUAGES, UNKNOWN]  # type: ignore[valid-type]
Languages = Annotated[
    list[Language], BeforeValidator(_listed), Field(min_length=1, max_length=MOST_VALUES)
]
Endpoint = Literal["chat.completions", "completions"]
Endpoints = Annotated[list[Endpoint], BeforeValidator(_listed), Field(min_length=1, max_length=2)]


class Condition(Part):
    """Exactly one test."""

    tenant: Values | None = Field(None, description="Names of teams; see Facts.tenant")
    token: Values | None = Field(None, description="First characters of tokens, as pages show them")
    token_name: Values | None = Field(None, description="Names that owners gave their tokens")
    user: Values | None = Field(None, description="Mail addresses of the tokens' owners")
    header: HeaderTest | None = None
    task: Values | None = Field(None, description="Header x-slipway-task, else metadata.task")
    language: Languages | None = Field(None, description="Guessed from the prompt")
    characters: Span | None = Field(None, description="Length of the prompt")
    tokens: Span | None = Field(None, description="Length of the prompt, estimated")
    endpoint: Endpoints | None = None
    stream: bool | None = None
    time: TimeTest | None = None
    all: list["Condition"] | None = Field(None, min_length=1, max_length=50)
    any: list["Condition"] | None = Field(None, min_length=1, max_length=50)
    not_: "Condition | None" = Field(None, alias="not")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [n for n in type(self).model_fields if getattr(self, n) is not None]
        if len(given) != 1:
            said = _("Give exactly one test, not %(n)s. Known: %(known)s.")
            raise ValueError(said % {"n": len(given), "known": ", ".join(TESTS)})
        return self

    @property
    def test(self) -> str:
        """The name of the one test: `tenant`, …, `all`, `any`, `not`."""
        fields = type(self).model_fields
        name = next(n for n in fields if getattr(self, n) is not None)
        return name.rstrip("_")

    @property
    def value(self) -> Any:
        """What the one test is given."""
        return getattr(self, "not_" if self.test == "not" else self.test)

    @property
    def inner(self) -> list["Condition"]:
        """The conditions that this one holds; empty for a test of a fact."""
        if self.not_ is not None:
            return [self.not_]
        return self.all or self.any or []


TESTS = tuple(name.rstrip("_") for name in Condition.model_fields)


def header_name(value: str) -> str:
    """A name of a header as rules write it, or ValueError."""
    if not _HEADER.fullmatch(value):
        raise ValueError(_("Use the lower-case name of a header, such as x-plan."))
    if value in SECRET_HEADERS:
        raise ValueError(_("This header carries a secret and is not compared."))
    return value


def walk(conditions: list[Condition]) -> Iterator[Condition]:
    """All conditions, the inner ones too."""
    for condition in conditions:
        yield condition
        yield from walk(condition.inner)


def depth(conditions: list[Condition]) -> int:
    """How deeply groups nest."""
    return max((1 + depth(c.inner) if c.inner else 0 for c in conditions), default=0)
