"""MLflow's filters and orders of runs in our own words: one grammar, other names of fields.

What `metrics.`, `params.` and `tags.` mean is the same in both; attributes of a run are said here.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from console.mlflow.shapes import NAME_TAG, STATUSES
from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.jobs.states import JobState
from models_app.registry.models import LoggedRun
from models_app.registry.search.fields import MAPS, NAMED
from models_app.registry.search.grammar import Comparison, Join, Node, Not, Value, parse_filter
from models_app.registry.search.tokens import FilterError

#: Other ways to write a group of names.
GROUPS = {
    **MAPS, "parameter": "params", "parameters": "params", "attr": "attributes",
    "attribute": "attributes", "run": "attributes",
}  # fmt: skip
#: Attributes -> fields of our own language.
ATTRIBUTES = {
    "status": "state", "run_id": "id", "run_uuid": "id", "run_name": "name", "Run name": "name",
    "start_time": "created", "created": "created", "Created": "created", "end_time": "finished",
    "user_id": "author",
}  # fmt: skip
_ORDER = re.compile(r"\s*(?P<key>.+?)(?:\s+(?P<word>asc|desc))?\s*", re.IGNORECASE)


def run_tree(actor: Any, text: str) -> Node | str:
    """The filter as our own search reads it; FilterError with the column."""
    tree = parse_filter(text)
    return "" if tree is None else _translated(actor, tree)


def run_order(given: Sequence[str]) -> str:
    """The order as our own search reads it. Equal runs come newest first, and nothing else."""
    keys = [_order_key(text) for text in given]
    if not keys:
        return ""
    if any(key.removeprefix("-") not in ("created", "id") for key in keys[1:]):
        said = _("Order by one metric or parameter; equal runs come newest first.")
        raise FieldError("order_by", said)
    return keys[0]


def _order_key(text: str) -> str:
    found = _ORDER.fullmatch(text)
    if found is None:
        raise FieldError("order_by", _("Such as metrics.loss ASC, or start_time DESC."))
    sign = "-" if (found["word"] or "").lower() == "desc" else ""
    group, _dot, name = found["key"].partition(".")
    field = GROUPS.get(group, group)
    if field in ("metrics", "params") and name:
        return f"{sign}{field}.{_unquoted(name)}"
    attribute = ATTRIBUTES.get(_unquoted(name if field == "attributes" else found["key"]))
    if attribute not in ("created", "id"):
        said = _("Runs are ordered by start_time, metrics and params, not by %(key)s.")
        raise FieldError("order_by", said % {"key": found["key"][:60]})
    return f"{sign}created"


def _unquoted(name: str) -> str:
    return name.strip("`\"'")


def _translated(actor: Any, node: Node) -> Node:
    if isinstance(node, Not):
        return Not(_translated(actor, node.of))
    if isinstance(node, Join):
        return Join(node.word, [_translated(actor, part) for part in node.parts])
    field, name = GROUPS.get(node.field, node.field), node.name
    if field == "tags" and name == NAME_TAG:
        return replace(node, field="name", name="")
    if field in NAMED:
        return replace(node, field=field)
    attribute = name if field == "attributes" else field
    ours = ATTRIBUTES.get(attribute)
    if ours is None or (name and field != "attributes"):
        raise FilterError(node.column, one_of([*(f"{group}.…" for group in NAMED), *ATTRIBUTES]))
    node = replace(node, field=ours, name="")
    return TRANSLATIONS[ours](actor, node) if ours in TRANSLATIONS else node


def _by_state(actor: Any, node: Comparison) -> Comparison:
    """A status of MLflow is several states of ours."""
    states: list[Value] = []
    for value in node.values:
        if value.text not in (*STATUSES.values(), "SCHEDULED"):
            known = dict.fromkeys([*STATUSES.values(), "SCHEDULED"])
            raise FilterError(value.column, one_of(known))
        states += [
            Value("text", state, value.column)
            for state in JobState.values
            if STATUSES.get(state, "SCHEDULED") == value.text
        ]
    if node.sign not in ("=", "!=", "in"):
        raise FilterError(node.column, _("compare this with = or in."))
    negated = node.negated if node.sign == "in" else node.sign == "!="
    return replace(node, sign="in", values=states, negated=negated)


def _by_key(actor: Any, node: Comparison) -> Comparison:
    """Numbers of the runs that the actor sees under these keys; 0, which is none, for others."""
    if node.sign not in ("=", "!=", "in"):
        raise FilterError(node.column, _("compare this with = or in."))
    rows = LoggedRun.objects.visible_to(actor).filter(key__in=[v.text for v in node.values])
    known = dict(rows.values_list("key", "pk"))
    numbers = [
        replace(value, kind="number", text=str(known.get(value.text, 0))) for value in node.values
    ]
    return replace(node, values=numbers)


def _by_time(actor: Any, node: Comparison) -> Comparison:
    """Milliseconds since 1970 as times."""
    return replace(node, values=[_moment(value) for value in node.values])


def _moment(value: Value) -> Value:
    try:
        at = dt.datetime.fromtimestamp(float(value.text) / 1000, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise FilterError(value.column, _("give milliseconds since 1970.")) from None
    return replace(value, kind="time", text=at.isoformat())


TRANSLATIONS = {
    "state": _by_state, "id": _by_key, "created": _by_time, "finished": _by_time,
}  # fmt: skip
