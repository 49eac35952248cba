"""A route as it is being typed: flat fields of a form, the spec that they mean, and back.

The fields are those of the page, so nothing has to be kept between two requests: rows that are
empty are left out, and errors of the spec are brought to the field that they came from.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from console.pages.routes.condition_text import TESTS, as_text, can_be_typed, typed
from models_app.configs.yaml_text import yaml_dump, yaml_load
from models_app.core.errors import InvalidInput

MOST_RULES = 100
MOST_ROWS = 60
#: Of a rule, what the form has no fields for; it is carried along.
KEPT = ("sticky_by", "fallback")


@dataclass(frozen=True, slots=True)
class Cell:
    """One field with what is typed in it and what is wrong with that."""

    name: str
    value: str
    errors: list[str]


@dataclass
class Draft:
    """The fields by name, and what is wrong with each."""

    fields: dict[str, str]
    errors: dict[str, list[str]] = field(default_factory=dict)
    #: Path in the spec -> field.
    places: dict[str, str] = field(default_factory=dict)
    #: What belongs to no field.
    rest: list[str] = field(default_factory=list)

    def cell(self, name: str) -> Cell:
        """A field for the page."""
        return Cell(name, self.fields.get(name, ""), self.errors.get(name, []))

    def numbers(self, prefix: str, most: int) -> list[int]:
        """The rows under a prefix, in order."""
        found = set()
        for name in self.fields:
            head, _dash, _tail = name.removeprefix(prefix).partition("-")
            if name.startswith(prefix) and head.isdecimal() and len(head) < 4:
                found.add(int(head))
        return sorted(n for n in found if n < most)

    def complain(self, name: str, text: str) -> None:
        """Note what is wrong with a field."""
        self.errors.setdefault(name, []).append(text)

    def place(self, error: InvalidInput, prefix: str = "") -> None:
        """Bring each message to the field that its path leads to."""
        for path, texts in error.errors.items():
            inner = path.removeprefix(prefix).removeprefix(".")
            name = self._field(inner)
            if name is None:
                self.rest += [f"{inner}: {text}" if inner else text for text in texts]
            else:
                self.errors.setdefault(name, []).extend(texts)

    def _field(self, path: str) -> str | None:
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return None


# -- from the page to the spec ---------------------------------------------------------------------


def spec_of(draft: Draft) -> dict[str, Any]:
    """The raw spec; what cannot even be read is noted in `draft.errors`."""
    get = draft.fields.get
    draft.places |= {n: n for n in ("description", "callers", "enabled")}
    sticky = get("sticky", "token")
    if sticky == "header":
        sticky = f"header:{get('sticky_header', '').strip()}"
    draft.places["sticky_by"] = "sticky_header" if sticky.startswith("header:") else "sticky"
    spec: dict[str, Any] = {
        "description": get("description", "").replace("\r\n", "\n").strip(),
        "enabled": get("enabled", "on") == "on",
        "sticky_by": sticky,
        "callers": [p.strip() for p in get("callers", "").split(",") if p.strip()],
        "targets": list(_targets(draft, "to-", "targets")),
        "fallback": list(_targets(draft, "back-", "fallback", weighted=False)),
        "rules": [
            _rule(draft, f"rule-{number}-", f"rules.{place}")
            for place, number in enumerate(draft.numbers("rule-", MOST_RULES))
        ],
    }
    if get("mirror-deployment"):
        spec["mirror"] = _target(draft, "mirror-", "mirror", "percent") | _judge(draft)
    return spec


def _targets(
    draft: Draft, prefix: str, path: str, *, weighted: bool = True
) -> Iterator[dict[str, Any]]:
    count = 0
    for number in draft.numbers(prefix, MOST_ROWS):
        row = f"{prefix}{number}-"
        if not draft.fields.get(f"{row}deployment"):
            continue
        yield _target(draft, row, f"{path}.{count}", "weight" if weighted else "")
        count += 1
    # What is wrong with all of them together: their shares, or that there are none.
    draft.places[path] = f"{prefix}0-weight" if weighted and count else f"{prefix}0-deployment"


def _target(draft: Draft, row: str, path: str, share: str) -> dict[str, Any]:
    target: dict[str, Any] = {"deployment": draft.fields[f"{row}deployment"]}
    draft.places |= {
        path: f"{row}deployment",
        f"{path}.revision": f"{row}revision",
    }
    number = draft.fields.get(f"{row}revision", "").strip().removeprefix("r")
    if number:
        target["revision"] = _number(draft, f"{row}revision", number)
    if share:
        draft.places[f"{path}.{share}"] = f"{row}{share}"
        text = draft.fields.get(f"{row}{share}", "").strip().rstrip("% ").replace(",", ".")
        target[share] = _number(draft, f"{row}{share}", text or "100")
    return target


def _judge(draft: Draft) -> dict[str, str]:
    """Who judges the copies; likelihood goes without saying."""
    names = ("judge", "judge_by")
    draft.places |= {f"mirror.{name}": f"mirror-{name}" for name in names}
    found = {name: draft.fields.get(f"mirror-{name}", "") for name in names}
    return {name: value for name, value in found.items() if value and found["judge"]}


def _number(draft: Draft, name: str, text: str) -> float | int:
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        draft.complain(name, _("Use a number."))
        return 1
    return int(value) if value.is_integer() else value


def _rule(draft: Draft, prefix: str, path: str) -> dict[str, Any]:
    get = draft.fields.get
    draft.places |= {
        path: f"{prefix}name",
        f"{path}.when": f"{prefix}if-0-value",
        **{f"{path}.{n}": f"{prefix}{n}" for n in ("name", "locked", "priority", "max_tokens")},
    }
    rule: dict[str, Any] = {
        "name": get(f"{prefix}name", "").strip(),
        "when": _conditions(draft, prefix, path),
        "targets": list(_targets(draft, f"{prefix}to-", f"{path}.targets")),
        "locked": get(f"{prefix}locked") == "on",
    }
    if get(f"{prefix}priority"):
        rule["priority"] = get(f"{prefix}priority")
    if get(f"{prefix}max_tokens", "").strip():
        text = get(f"{prefix}max_tokens", "").strip()
        rule["max_tokens"] = _number(draft, f"{prefix}max_tokens", text)
    return rule | _kept(get(f"{prefix}kept", ""))


def _kept(text: str) -> dict[str, Any]:
    try:
        kept = json.loads(text or "{}")
    except ValueError:
        return {}
    return {n: kept[n] for n in KEPT if n in kept} if isinstance(kept, dict) else {}


def _conditions(draft: Draft, prefix: str, path: str) -> list[Any]:
    raw = draft.fields.get(f"{prefix}raw")
    if raw is not None:
        draft.places[f"{path}.when"] = f"{prefix}raw"
        try:
            return list(yaml_load(raw, name="").value.get("when", []))
        except (InvalidInput, TypeError) as error:
            said = error.message if isinstance(error, InvalidInput) else _("Write a list.")
            draft.complain(f"{prefix}raw", said)
            return []
    either = draft.fields.get(f"{prefix}joined") == "any"
    found: list[Any] = []
    for number in draft.numbers(f"{prefix}if-", MOST_ROWS):
        row = f"{prefix}if-{number}-"
        test, text = draft.fields.get(f"{row}test", ""), draft.fields.get(f"{row}value", "")
        if test not in TESTS:
            continue
        place = f"{path}.when.0.any.{len(found)}" if either else f"{path}.when.{len(found)}"
        draft.places[place] = f"{row}value"
        found.append(_condition(draft, row, test, text))
    return [{"any": found}] if either and len(found) > 1 else found


def _condition(draft: Draft, row: str, test: str, text: str) -> dict[str, Any]:
    try:
        condition = {test: typed(test, text)}
    except ValueError as error:
        draft.complain(f"{row}value", str(error))
        condition = {"tenant": ["-"]}
    return {"not": condition} if draft.fields.get(f"{row}not") == "not" else condition


# -- from the spec to the page ---------------------------------------------------------------------


def draft_of(spec: Mapping[str, Any]) -> Draft:
    """The fields that mean this spec."""
    kind, _colon, header = str(spec.get("sticky_by", "token")).partition(":")
    fields = {
        "description": spec.get("description", ""),
        "enabled": "on" if spec.get("enabled", True) else "off",
        "sticky": kind,
        "sticky_header": header,
        "callers": ", ".join(spec.get("callers", ())),
    }
    fields |= _target_fields("to-", spec.get("targets", ()))
    fields |= _target_fields("back-", spec.get("fallback", ()))
    if spec.get("mirror"):
        fields |= _one("mirror-", spec["mirror"])
        fields["mirror-percent"] = f"{spec['mirror'].get('percent', 100):g}"
        fields |= {f"mirror-{n}": spec["mirror"].get(n, "") for n in ("judge", "judge_by")}
    for number, rule in enumerate(spec.get("rules", ())):
        fields |= {f"rule-{number}-{name}": value for name, value in _rule_fields(rule).items()}
    return Draft(fields)


def _target_fields(prefix: str, targets: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, target in enumerate(targets):
        found |= _one(f"{prefix}{number}-", target)
        found[f"{prefix}{number}-weight"] = f"{target.get('weight', 100):g}"
    return found


def _one(row: str, target: Mapping[str, Any]) -> dict[str, str]:
    number = target.get("revision")
    return {
        f"{row}deployment": target["deployment"],
        f"{row}revision": "" if number is None else str(number),
    }


def _rule_fields(rule: Mapping[str, Any]) -> dict[str, str]:
    fields = {
        "name": rule["name"],
        "locked": "on" if rule.get("locked") else "",
        "priority": rule.get("priority", ""),
        "max_tokens": str(rule.get("max_tokens", "")),
        "kept": json.dumps({name: rule[name] for name in KEPT if name in rule}),
        **_target_fields("to-", rule.get("targets", ())),
    }
    when = rule.get("when", [])
    either = len(when) == 1 and "any" in when[0]
    rows = when[0]["any"] if either else when
    typed_rows = [_row(condition) for condition in rows]
    if any(row is None for row in typed_rows):
        return {**fields, "raw": yaml_dump({"when": when})}
    fields["joined"] = "any" if either else "all"
    for number, row in enumerate(typed_rows):
        fields |= {f"if-{number}-{name}": value for name, value in (row or {}).items()}
    return fields


def _row(condition: Mapping[str, Any]) -> dict[str, str] | None:
    """The fields of one condition; None for what one row cannot say."""
    negated = "not" in condition
    inner = condition["not"] if negated else condition
    [(test, value)] = inner.items()
    if test not in TESTS or not can_be_typed(test, value):
        return None
    return {"test": test, "not": "not" if negated else "", "value": as_text(test, value)}
