"""What a revision of a route says: rules in order, where the rest goes, what helps out."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from django.utils.translation import gettext as _
from pydantic import Field, field_validator, model_validator

from models_app.core.digests import canonical_json
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from models_app.routing.conditions import (
    CLAIMS,
    MOST_DEPTH,
    Condition,
    Part,
    depth,
    header_name,
    walk,
)

#: The name under which requests are recorded that no rule matched.
DEFAULT = "default"
#: A share is a number of these: 0.01 %.
CELLS = 10_000
MOST_RULES = 100
MOST_CONDITIONS = 50
MOST_BYTES = 64 << 10
_RULE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,58}[A-Za-z0-9])?")
_STICKY = ("token", "user", "request")

Priority = Literal["low", "normal", "high"]
Name = Annotated[str, Field(min_length=1, max_length=63)]


class Target(Part):
    """A deployment of the team, or one revision of it."""

    deployment: Name
    revision: int | None = Field(
        None, ge=1, le=1 << 30, description="Its number; without, what serves, as roll-outs go"
    )
    weight: float = Field(100, gt=0, le=100, description="Percent; those of a rule make up 100")

    @field_validator("weight")
    @classmethod
    def _cells(cls, value: float) -> float:
        if abs(value * 100 - round(value * 100)) > 1e-6:
            raise ValueError(_("Use at most two digits after the point."))
        return round(value, 2)

    @property
    def cells(self) -> int:
        """Its share of CELLS."""
        return round(self.weight * CELLS / 100)

    @property
    def key(self) -> str:
        """What tells targets of a rule apart."""
        return self.deployment if self.revision is None else f"{self.deployment}@{self.revision}"

    def __str__(self) -> str:
        return self.deployment if self.revision is None else f"{self.deployment} r{self.revision}"


#: That there is one, `whole` says in words of its own.
Targets = Annotated[list[Target], Field(max_length=20, json_schema_extra={"minItems": 1})]


def _sticky(value: str) -> str:
    if value in _STICKY:
        return value
    kind, _colon, name = value.partition(":")
    if kind != "header" or not _colon:
        raise ValueError(_("Use “token”, “user”, “request”, or “header:” and a lower-case name."))
    return f"header:{header_name(name)}"


class Rule(Part):
    """For the requests that meet every condition of `when`."""

    name: str
    when: list[Condition] = Field(
        default_factory=list, max_length=MOST_CONDITIONS, description="All must hold; empty: always"
    )
    targets: Targets
    locked: bool = Field(False, description="A caller cannot choose another target")
    priority: Priority | None = Field(None, description="In the queues of replicas")
    sticky_by: str | None = Field(None, description="Instead of the route's")
    fallback: list[Target] | None = Field(
        None, max_length=10, description="Instead of the route's; empty: none"
    )
    max_tokens: int | None = Field(None, ge=1, le=1 << 20, description="Longest answer")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _RULE_NAME.fullmatch(value) or value == DEFAULT:
            said = _(
                "Use 1 to 60 letters, digits, spaces, dots, dashes or underscores; “default” is"
                " taken."
            )
            raise ValueError(said)
        return value

    @field_validator("when")
    @classmethod
    def _size(cls, value: list[Condition]) -> list[Condition]:
        if depth(value) > MOST_DEPTH:
            said = _("Conditions nest at most %(most)s deep.") % {"most": MOST_DEPTH}
            raise ValueError(said)
        if sum(1 for _one in walk(value)) > MOST_CONDITIONS:
            said = _("At most %(most)s conditions in a rule.") % {"most": MOST_CONDITIONS}
            raise ValueError(said)
        return value

    @field_validator("targets")
    @classmethod
    def _whole(cls, value: list[Target]) -> list[Target]:
        return whole(value)

    @field_validator("sticky_by")
    @classmethod
    def _sticky(cls, value: str | None) -> str | None:
        return None if value is None else _sticky(value)

    @property
    def only_claims(self) -> bool:
        """Whether its conditions are such that callers choose freely whether they hold."""
        tests = [c.test for c in walk(self.when) if not c.inner]
        return bool(tests) and set(tests) <= CLAIMS


class Mirror(Part):
    """A copy of some requests goes there as well; nobody gets its answer."""

    deployment: Name
    revision: int | None = Field(None, ge=1, le=1 << 30)
    percent: float = Field(100, gt=0, le=100)

    @property
    def cells(self) -> int:
        """Its share of CELLS."""
        return round(self.percent * CELLS / 100)

    def __str__(self) -> str:
        return self.deployment if self.revision is None else f"{self.deployment} r{self.revision}"


class RouteSpec(Part):
    """The whole route but for its name, its team and its environment."""

    description: str = Field("", max_length=4000)
    enabled: bool = True
    sticky_by: str = Field(
        "token", description="Who stays on a side: token, user, header:<name>; or request: nobody"
    )
    callers: list[Name] = Field(
        default_factory=list, max_length=100, description="Other teams whose keys may ask it"
    )
    rules: list[Rule] = Field(default_factory=list, max_length=MOST_RULES)
    targets: Targets = Field(description="For what no rule matches")
    fallback: list[Target] = Field(
        default_factory=list, max_length=10, description="Asked in turn where the target cannot"
    )
    mirror: Mirror | None = None

    @field_validator("targets")
    @classmethod
    def _whole(cls, value: list[Target]) -> list[Target]:
        return whole(value)

    @field_validator("sticky_by")
    @classmethod
    def _sticky(cls, value: str) -> str:
        return _sticky(value)

    @model_validator(mode="after")
    def _small(self) -> Self:
        if len(canonical_json(self.plain()).encode()) > MOST_BYTES:
            said = _("The rules are larger than %(most)s KiB.") % {"most": MOST_BYTES >> 10}
            raise ValueError(said)
        return self

    def plain(self) -> dict[str, Any]:
        """Plain JSON, without what was left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def rule(self, index: int | None) -> Rule | None:
        """The rule at a place; None stands for the default targets."""
        return None if index is None else self.rules[index]

    def targets_by_rule(self) -> Iterator[tuple[str, list[Target]]]:
        """(name, targets) of every rule, and of the default."""
        for rule in self.rules:
            yield rule.name, rule.targets
        yield DEFAULT, self.targets

    def answering(self) -> Iterator[tuple[str, Target]]:
        """(path of the field, target) of everything that may answer a caller."""
        for number, target in enumerate(self.targets):
            yield f"targets.{number}", target
        for number, target in enumerate(self.fallback):
            yield f"fallback.{number}", target
        for place, rule in enumerate(self.rules):
            for number, target in enumerate(rule.targets):
                yield f"rules.{place}.targets.{number}", target
            for number, target in enumerate(rule.fallback or ()):
                yield f"rules.{place}.fallback.{number}", target


def whole(targets: list[Target]) -> list[Target]:
    """Targets whose shares make up the whole and that differ, or ValueError."""
    if not targets:
        raise ValueError(_("Choose the deployment that answers."))
    cells = sum(target.cells for target in targets)
    if cells != CELLS:
        said = _("The weights make up %(sum)g, not 100.") % {"sum": cells * 100 / CELLS}
        raise ValueError(said)
    if len({target.key for target in targets}) != len(targets):
        raise ValueError(_("A target stands here twice. Put its weights together."))
    return targets


def route_spec(data: Any, prefix: str = "") -> RouteSpec:
    """The checked spec in untrusted JSON. Raises InvalidInput with dotted paths."""
    spec = parse(RouteSpec, data, prefix)
    errors = {f"{prefix}.{path}" if prefix else path: text for path, text in _order(spec)}
    if errors:
        raise InvalidInput(dict(errors))
    return spec


def _order(spec: RouteSpec) -> Iterator[tuple[str, str]]:
    names = Counter(rule.name for rule in spec.rules)
    opened = ""
    for place, rule in enumerate(spec.rules):
        if names[rule.name] > 1:
            yield f"rules.{place}.name", _("Two rules have this name.")
        if not rule.locked:
            opened = opened or rule.name
            continue
        if opened:
            said = _(
                "Locked rules stand before the others; “%(name)s” before it is not locked and would"
                " decide first."
            )
            yield f"rules.{place}.locked", said % {"name": opened}
        if rule.only_claims:
            said = _(
                "A locked rule needs a condition that callers cannot choose, such as tenant, token,"
                " user or time."
            )
            yield f"rules.{place}.when", said
