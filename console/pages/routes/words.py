"""Rules as sentences that people read."""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from console.pages.routes.condition_text import TESTS, as_text
from models_app.routing.conditions import Condition
from models_app.routing.spec import Rule


def rule_sentence(rule: Rule) -> str:
    """When a rule decides."""
    if not rule.when:
        return _("Always.")
    said = _("If %(conditions)s.")
    return said % {"conditions": _(" and ").join(condition_words(c) for c in rule.when)}


def condition_words(condition: Condition) -> str:
    """A condition as part of a sentence."""
    if condition.not_ is not None:
        return _negated(condition.not_)
    if condition.all:
        return f"({_(' and ').join(condition_words(c) for c in condition.all)})"
    if condition.any:
        return f"({_(' or ').join(condition_words(c) for c in condition.any)})"
    return _leaf(condition, 0)


def _negated(condition: Condition) -> str:
    if condition.inner:
        return _("not %(condition)s") % {"condition": condition_words(condition)}
    return _leaf(condition, 1)


def _leaf(condition: Condition, negated: int) -> str:
    test, value = condition.test, condition.value
    plain = condition.model_dump(mode="json", by_alias=True, exclude_none=True)[test]
    if test == "header":
        return _header(value, negated)
    if test == "stream":
        on = value is not bool(negated)
        return _("the answer is streamed") if on else _("the answer is not streamed")
    said = _SAID[test]()[negated]
    return said % {"values": _values(test, plain)}


def _values(test: str, plain: Any) -> str:
    if test in ("characters", "tokens"):
        low, high = plain.get("at_least"), plain.get("at_most")
        if low is None:
            return _("at most %(n)s") % {"n": high}
        if high is None:
            return _("at least %(n)s") % {"n": low}
        return _("%(low)s to %(high)s") % {"low": low, "high": high}
    return as_text(test, plain).replace(", ", _(" or "))


def _header(value: Any, negated: int) -> str:
    names = {"name": value.name, "values": _(" or ").join(value.values or ())}
    if value.values is None:
        there = value.present is not bool(negated)
        said = _("the header %(name)s is there") if there else _("the header %(name)s is missing")
        return said % names
    if negated:
        return _("the header %(name)s is not %(values)s") % names
    return _("the header %(name)s is %(values)s") % names


_SAID: dict[str, Callable[[], tuple[str, str]]] = {
    "tenant": lambda: (
        _("the key is of the team %(values)s"),
        _("the key is not of the team %(values)s"),
    ),
    "token": lambda: (_("the token is %(values)s"), _("the token is not %(values)s")),
    "token_name": lambda: (
        _("the token is called %(values)s"),
        _("the token is not called %(values)s"),
    ),
    "user": lambda: (
        _("the token belongs to %(values)s"),
        _("the token does not belong to %(values)s"),
    ),
    "task": lambda: (_("the task is %(values)s"), _("the task is not %(values)s")),
    "language": lambda: (
        _("the language of the prompt is %(values)s"),
        _("the language of the prompt is not %(values)s"),
    ),
    "characters": lambda: (
        _("the prompt has %(values)s characters"),
        _("the prompt has not %(values)s characters"),
    ),
    "tokens": lambda: (
        _("the prompt has %(values)s tokens"),
        _("the prompt has not %(values)s tokens"),
    ),
    "endpoint": lambda: (_("the endpoint is %(values)s"), _("the endpoint is not %(values)s")),
    "time": lambda: (_("the time is within %(values)s"), _("the time is not within %(values)s")),
}


def sticky_words(sticky_by: str) -> str:
    """Who stays on the side that it got."""
    if sticky_by.startswith("header:"):
        said = _("each value of the header %(name)s stays on its side")
        return said % {"name": sticky_by.partition(":")[2]}
    words = {
        "token": _("each token stays on its side"),
        "user": _("each person stays on their side"),
        "request": _("every request is drawn anew"),
    }
    return words[sticky_by]


def test_words(test: str) -> str:
    """A kind of condition, for the tester."""
    groups = {"all": _("All of"), "any": _("Any of"), "not": _("Not")}
    return groups.get(test) or str(TESTS[test][0])
