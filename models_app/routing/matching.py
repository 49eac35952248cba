"""Conditions made into functions once, when the tables are loaded.

A test has two questions: does it hold, and could it hold whatever the caller claims (`guards`)? The
second one leaves out headers and other claims, and is what a lock goes by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models_app.routing.conditions import CLAIMS, Condition, HeaderTest, Span, TimeTest
from models_app.routing.facts import Facts

Holds = Callable[[Facts], bool]
#: True, False, or None: it depends on what the caller claims.
Guards = Callable[[Facts], bool | None]


@dataclass(frozen=True, slots=True)
class Test:
    """A condition, ready to be asked."""

    condition: Condition
    holds: Holds
    guards: Guards
    inner: tuple["Test", ...] = ()

    def observed(self, facts: Facts) -> Any:
        """What the request has where this test looks; None for groups."""
        name = self.condition.test
        if name == "header":
            return facts.headers.get(self.condition.value.name)
        if name == "time":
            return facts.at.isoformat(timespec="minutes")
        return None if self.inner else getattr(facts, name)


def compile_all(conditions: Sequence[Condition]) -> tuple[Test, ...]:
    """Each as a test."""
    return tuple(compile_test(condition) for condition in conditions)


def compile_test(condition: Condition) -> Test:
    """One condition as a test."""
    if condition.inner:
        return _group(condition)
    holds = _leaf(condition)
    guards: Guards = _unknown if condition.test in CLAIMS else holds
    return Test(condition, holds, guards)


def _unknown(_facts: Facts) -> bool | None:
    return None


def _group(condition: Condition) -> Test:
    inner = compile_all(condition.inner)
    tests = [test.holds for test in inner]
    guards = [test.guards for test in inner]
    if condition.test == "not":
        return Test(
            condition,
            lambda facts: not tests[0](facts),
            lambda facts: None if (g := guards[0](facts)) is None else not g,
            inner,
        )
    if condition.test == "all":
        return Test(
            condition,
            lambda facts: all(holds(facts) for holds in tests),
            lambda facts: every(guards, facts),
            inner,
        )
    return Test(
        condition,
        lambda facts: any(holds(facts) for holds in tests),
        lambda facts: _some(guards, facts),
        inner,
    )


def every(guards: Sequence[Guards], facts: Facts) -> bool | None:
    """False where one is, else None where one is not known."""
    known: bool | None = True
    for guard in guards:
        answer = guard(facts)
        if answer is False:
            return False
        if answer is None:
            known = None
    return known


def _some(guards: Sequence[Guards], facts: Facts) -> bool | None:
    known: bool | None = False
    for guard in guards:
        answer = guard(facts)
        if answer:
            return True
        if answer is None:
            known = None
    return known


def _leaf(condition: Condition) -> Holds:
    name, value = condition.test, condition.value
    if isinstance(value, HeaderTest):
        return _header(value)
    if isinstance(value, TimeTest):
        return lambda facts: value.holds(facts.at)
    if isinstance(value, Span):
        low, high = value.at_least, value.at_most
        return lambda facts: _within(getattr(facts, name), low, high)
    if isinstance(value, bool):
        return lambda facts: getattr(facts, name) is value
    fits = _fits(value)
    return lambda facts: fits(getattr(facts, name))


def _within(number: int, low: int | None, high: int | None) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _header(test: HeaderTest) -> Holds:
    name = test.name
    if not test.present:
        return lambda facts: name not in facts.headers
    if test.values is None:
        return lambda facts: name in facts.headers
    fits = _fits(test.values)
    return lambda facts: name in facts.headers and fits(facts.headers[name])


def _fits(values: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text is one of these, in any case of letters; `*` at an end stands for anything."""
    exact = frozenset(v.casefold() for v in values if "*" not in (v[0], v[-1]))
    begins = tuple(v[:-1].casefold() for v in values if v[-1] == "*" and v[0] != "*")
    ends = tuple(v[1:].casefold() for v in values if v[0] == "*" and v[-1] != "*")
    within = tuple(v[1:-1].casefold() for v in values if v[0] == "*" and v[-1] == "*")

    def fits(text: str) -> bool:
        if not text:
            return False
        low = text.casefold()
        return (
            low in exact
            or low.startswith(begins)
            or low.endswith(ends)
            or any(part in low for part in within)
        )

    return fits
