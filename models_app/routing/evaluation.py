"""Decides a request: the first rule whose conditions hold, and the caller's side of its split.

Pure: the gateway decides with it, and the console explains with it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any, TypeVar

from models_app.routing.allotment import Runs, cell_of
from models_app.routing.facts import Facts
from models_app.routing.matching import Test, compile_all, every
from models_app.routing.spec import CELLS, DEFAULT, Mirror, Priority, RouteSpec, Target

T = TypeVar("T")


class Split:
    """The targets of a rule with the cells that each has."""

    __slots__ = ("_ends", "_owners", "targets")

    def __init__(self, targets: list[Target], runs: Runs) -> None:
        self.targets = targets
        by_key = {target.key: target for target in targets}
        self._ends = [int(end) for end, _key in runs]
        self._owners = [by_key[str(key)] for _end, key in runs]

    def at(self, cell: int) -> Target:
        """The target of a cell."""
        return self._owners[bisect_right(self._ends, cell)]


class Compiled:
    """A rule of a route, or what no rule matches (`name` is then `default`)."""

    __slots__ = (
        "fallback",
        "locked",
        "max_tokens",
        "name",
        "priority",
        "split",
        "sticky_by",
        "tests",
    )

    def __init__(self, spec: RouteSpec, index: int | None, runs: Mapping[str, Runs]) -> None:
        rule = spec.rule(index)
        self.name = rule.name if rule else DEFAULT
        self.tests: tuple[Test, ...] = compile_all(rule.when) if rule else ()
        self.locked = bool(rule and rule.locked)
        self.priority: Priority = (rule.priority if rule else None) or "normal"
        self.sticky_by = (rule.sticky_by if rule else None) or spec.sticky_by
        own = rule.fallback if rule else None
        self.fallback = spec.fallback if own is None else own
        self.max_tokens = rule.max_tokens if rule else None
        self.split = Split(rule.targets if rule else spec.targets, runs[self.name])

    def holds(self, facts: Facts) -> bool:
        """Whether the request is one of its own."""
        return all(test.holds(facts) for test in self.tests)

    def guards(self, facts: Facts) -> bool:
        """Whether it is locked for this caller, whatever the caller's headers say."""
        if not self.locked:
            return False
        return every([test.guards for test in self.tests], facts) is not False


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided. `chain` is the target, then what is asked in its place, in order."""

    rule: Compiled
    cell: int
    side: str
    target: Target
    chain: tuple[Target, ...]
    #: The name of the locked rule that keeps this caller from choosing; empty: none does.
    lock: str
    mirror: Mirror | None


class Evaluator:
    """A revision of a route, ready to decide."""

    def __init__(self, route_id: int, spec: Mapping[str, Any], runs: Mapping[str, Runs]) -> None:
        self.route_id = route_id
        self.spec = RouteSpec.model_validate(spec)
        self.rules = [Compiled(self.spec, n, runs) for n in range(len(self.spec.rules))]
        self.default = Compiled(self.spec, None, runs)

    def decide(self, facts: Facts) -> Choice:
        """The one rule that decides, and where it sends this caller."""
        rule = next((rule for rule in self.rules if rule.holds(facts)), self.default)
        side = side_of(rule.sticky_by, facts)
        cell = cell_of(f"{self.route_id}/{rule.name}", side)
        target = rule.split.at(cell)
        return Choice(
            rule=rule,
            cell=cell,
            side=side,
            target=target,
            chain=_chain(target, rule),
            lock=self._lock(facts),
            mirror=self._mirror(facts),
        )

    def _lock(self, facts: Facts) -> str:
        """Locked rules stand first, so no rule that follows a claim can lead around them."""
        return next((rule.name for rule in self.rules if rule.guards(facts)), "")

    def _mirror(self, facts: Facts) -> Mirror | None:
        mirror = self.spec.mirror
        if mirror is None:
            return None
        if mirror.cells < CELLS and cell_of("mirror", facts.request) >= mirror.cells:
            return None
        return mirror


def side_of(sticky_by: str, facts: Facts) -> str:
    """What a caller is recognised by. Where the header is missing it is the token."""
    if sticky_by == "request":
        return f"request:{facts.request}"
    if sticky_by == "user":
        return f"user:{facts.user}"
    if sticky_by.startswith("header:"):
        name = sticky_by.partition(":")[2]
        if name in facts.headers:
            return f"{name}:{facts.headers[name]}"
    # Keys of pages have no token of their own: there the person is told apart.
    return f"token:{facts.token}" if facts.token else f"user:{facts.user}"


def with_adapter(chain: Iterable[T], has: Callable[[T], bool]) -> tuple[T, ...]:
    """Who answers a request for an adapter: the first of the chain that has it, then the rest.

    What stands before it cannot answer. What stands behind it helps out as ever, without the
    adapter if need be, and the caller is told so. Empty: nothing of the chain has it.
    """
    return tuple(dropwhile(lambda one: not has(one), chain))


def _chain(target: Target, rule: Compiled) -> tuple[Target, ...]:
    """The target, the other targets of its rule by weight, the fallbacks; each once."""
    others = sorted(rule.split.targets, key=lambda other: -other.cells)
    found = {item.key: item for item in reversed([target, *others, *rule.fallback])}
    return tuple(
        found.pop(item.key) for item in [target, *others, *rule.fallback] if item.key in found
    )
