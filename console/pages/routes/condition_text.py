"""The value of a condition as people type it into one field of a form, and back."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.routing.conditions import DAYS

#: test -> (its name, an example of what is typed), in the order of the choice.
TESTS: dict[str, tuple[str | Promise, str]] = {
    "tenant": (gettext_lazy("Team of the key"), "gold, silver"),
    "token": (gettext_lazy("Token"), "slip_1a2b3c*"),
    "user": (gettext_lazy("Owner of the token"), "*@example.org"),
    "time": (gettext_lazy("Time"), "mon-fri 08:00-18:00 Europe/Berlin"),
    "language": (gettext_lazy("Language of the prompt"), "de, fr"),
    "characters": (gettext_lazy("Characters of the prompt"), "100-2000"),
    "tokens": (gettext_lazy("Tokens of the prompt"), "-500"),
    "endpoint": (gettext_lazy("Endpoint"), "chat.completions"),
    "stream": (gettext_lazy("Streamed"), "yes"),
    "task": (gettext_lazy("Task (says the caller)"), "legal, support"),
    "header": (gettext_lazy("Header (says the caller)"), "x-plan: pro, team"),
    "token_name": (gettext_lazy("Name of the token (says its owner)"), "nightly*"),
}
_SPAN = re.compile(r"(\d{0,10})\s*[-–]\s*(\d{0,10})")
_CLOCKS = re.compile(r"(\d\d:\d\d)[-–](\d\d:\d\d)")
_YES = {"yes": True, "true": True, "no": False, "false": False}


def typed(test: str, text: str) -> Any:
    """What a condition is given, from its text; ValueError says how to write it.

    Only the form of the text is looked at: the values are checked like those of the API.
    """
    text = text.strip()
    if test == "header":
        name, colon, values = text.partition(":")
        return {"name": name.strip(), "in": _list(values)} if colon else {"name": text}
    if test in ("characters", "tokens"):
        return _span(text)
    if test == "stream":
        if text.lower() not in _YES:
            raise ValueError(_("Write yes or no."))
        return _YES[text.lower()]
    return _time(text) if test == "time" else _list(text)


def as_text(test: str, value: Any) -> str:
    """The text that `typed` makes this value of."""
    if test == "header":
        return f"{value['name']}: {', '.join(value['in'])}" if "in" in value else str(value["name"])
    if test in ("characters", "tokens"):
        return f"{value.get('at_least', '')}-{value.get('at_most', '')}"
    if test == "stream":
        return "yes" if value else "no"
    if test == "time":
        return _time_text(value)
    return ", ".join([value] if isinstance(value, str) else value)


def can_be_typed(test: str, value: Any) -> bool:
    """Whether the value survives being typed; a comma inside a value does not."""
    try:
        text = as_text(test, value)
        again = as_text(test, typed(test, text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    if isinstance(value, Mapping):
        if test == "header" and value.get("present") is False:
            return False
        value = value.get("in", [])
    parts = value if isinstance(value, list) else []
    return again == text and not any("," in part or part != part.strip() for part in parts)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _span(text: str) -> dict[str, int]:
    found = _SPAN.fullmatch(text)
    if found is None or not (found[1] or found[2]):
        raise ValueError(_("Write 100-2000, 100- for at least, or -2000 for at most."))
    named = {"at_least": found[1], "at_most": found[2]}
    return {name: int(number) for name, number in named.items() if number}


def _time(text: str) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for part in text.split():
        clocks = _CLOCKS.fullmatch(part)
        if clocks:
            value["since"], value["until"] = clocks[1], clocks[2]
        elif (days := _days(part.lower())) is not None:
            value["days"] = [*value.get("days", []), *days]
        elif "/" in part or part == "UTC":
            value["zone"] = part
        else:
            said = _("“%(part)s” is no time. Write for example mon-fri 08:00-18:00 Europe/Berlin.")
            raise ValueError(said % {"part": part[:40]})
    return value


def _days(text: str) -> list[str] | None:
    """`mon`, `mon,tue` or `fri-mon` as a list; None for anything else."""
    first, dash, last = text.replace("–", "-").partition("-")
    if dash and first in DAYS and last in DAYS:
        begin, end = DAYS.index(first), DAYS.index(last)
        return [DAYS[n % 7] for n in range(begin, (end if end >= begin else end + 7) + 1)]
    names = [part for part in text.split(",") if part]
    return names if names and all(name in DAYS for name in names) else None


def _time_text(value: Mapping[str, Any]) -> str:
    days = value.get("days", [])
    parts = [] if len(days) in (0, 7) else [",".join(days)]
    if "since" in value:
        parts.append(f"{value['since']}-{value['until']}")
    return " ".join([*parts, value.get("zone", "UTC")])
