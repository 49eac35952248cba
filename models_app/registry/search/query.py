"""Runs that match a filter, in a stable order, a page at a time by a cursor.

An order by a metric or parameter walks along its index: first the runs that have it, then those
that lack it, newest first. The cursor is the place of the last run: its part, value and number.
"""

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.registry.search.fields import MAPS, Sql, compile_filter
from models_app.registry.search.grammar import Node, parse_filter

NEWEST = "-created"
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Found:
    """A page of run numbers, and where the next one begins; empty: nowhere."""

    ids: list[int]
    next: str


@dataclass(frozen=True)
class Order:
    """By number of the run, or by a metric or parameter."""

    field: str = ""
    name: str = ""
    descending: bool = True

    @property
    def rows(self) -> str:
        """The rows that carry the value, for one name."""
        if self.field == "metrics":
            return "jobs_metriclatest o ON o.job_id = r.job_id AND o.name = %s"
        return "registry_runparam o ON o.run_id = r.job_id AND o.name = %s AND o.number IS NOT NULL"

    @property
    def value(self) -> str:
        return "o.value" if self.field == "metrics" else "o.number"

    @property
    def lacks(self) -> str:
        """The condition of runs without the value."""
        table, _on, condition = self.rows.partition(" ON ")
        return f"NOT EXISTS (SELECT 1 FROM {table} WHERE {condition})"


def run_search(
    *,
    actor: Actor,
    text: str | Node = "",
    order: str = "",
    cursor: str = "",
    limit: int = 50,
    experiments: Sequence[int] | None = None,
) -> Found:
    """Numbers of the runs that match, of teams that the actor sees and of no others.

    `text` may be a filter that was read already. Raises FieldError for `filter` (with the column),
    `order` and `cursor`.
    """
    tree = parse_filter(text) if isinstance(text, str) else text
    condition = _within(experiments, _visible(actor, compile_filter(tree, actor)))
    by = parse_order(order)
    place = _place(cursor, by)
    if not by.field:
        return _by_number(condition, by, place, limit)
    return _by_value(condition, by, place, limit)


def run_search_all(
    *, actor: Actor, text: str = "", order: str = "", most: int, page: int = 1000
) -> Iterator[list[int]]:
    """Everything that matches, at most `most`, in pages."""
    cursor, count = "", 0
    while count < most:
        found = run_search(
            actor=actor, text=text, order=order, cursor=cursor, limit=min(page, most - count)
        )
        if found.ids:
            yield found.ids
        count, cursor = count + len(found.ids), found.next
        if not cursor:
            return


def run_count(*, actor: Actor, text: str = "", most: int = 10_000) -> int:
    """How many match; counting stops at `most`."""
    condition, values = _visible(actor, compile_filter(parse_filter(text), actor))
    sql = f"SELECT 1 FROM registry_trainingrun r WHERE {condition} LIMIT %s"
    return int(_rows(f"SELECT count(*) FROM ({sql}) AS found", [*values, most])[0][0])


def parse_order(text: str) -> Order:
    """`-created`, `created`, `metrics.loss`, `-params.learning_rate`; a minus: largest first."""
    text = text or NEWEST
    descending, name = text.startswith("-"), text.removeprefix("-")
    if name in ("created", "id"):
        return Order(descending=descending)
    field, _dot, rest = name.partition(".")
    field = MAPS.get(field, field)
    if field not in ("metrics", "params") or not rest:
        said = _("Use created, metrics.name or params.name, with - in front for the largest first.")
        raise FieldError("order", said)
    return Order(field, rest.strip("`"), descending)


def _by_number(condition: Sql, by: Order, place: Any, limit: int) -> Found:
    sign, word = ("<", "DESC") if by.descending else (">", "ASC")
    sql, values = condition
    if place:
        sql, values = f"{sql} AND r.job_id {sign} %s", [*values, place["id"]]
    rows = _rows(
        f"SELECT r.job_id FROM registry_trainingrun r WHERE {sql}"
        f" ORDER BY r.job_id {word} LIMIT %s",
        [*values, limit + 1],
    )
    ids = [row[0] for row in rows[:limit]]
    return Found(ids, _cursor({"id": ids[-1]}) if len(rows) > limit else "")


def _by_value(condition: Sql, by: Order, place: Any, limit: int) -> Found:
    rows: list[tuple[int, float | None]] = []
    if not place or place.get("v") is not None:
        rows = _having(condition, by, place, limit + 1)
    if len(rows) <= limit:
        after = place if place and place.get("v") is None else None
        rows += _lacking(condition, by, after, limit + 1 - len(rows))
    ids = [row[0] for row in rows[:limit]]
    if len(rows) <= limit:
        return Found(ids, "")
    last = rows[limit - 1]
    return Found(ids, _cursor({"id": last[0], "v": last[1]}))


def _having(condition: Sql, by: Order, place: Any, limit: int) -> list[tuple[int, float | None]]:
    sign, word = ("<", "DESC") if by.descending else (">", "ASC")
    sql, values = condition
    values = [by.name, *values]
    if place:
        sql = f"{sql} AND ({by.value}, r.job_id) {sign} (%s, %s)"
        values += [place["v"], place["id"]]
    return _rows(
        f"SELECT r.job_id, {by.value} FROM registry_trainingrun r JOIN {by.rows} WHERE {sql}"
        f" ORDER BY {by.value} {word}, r.job_id {word} LIMIT %s",
        [*values, limit],
    )


def _lacking(condition: Sql, by: Order, place: Any, limit: int) -> list[tuple[int, float | None]]:
    sql, values = condition
    sql, values = f"{sql} AND {by.lacks}", [*values, by.name]
    if place:
        sql, values = f"{sql} AND r.job_id < %s", [*values, place["id"]]
    return _rows(
        f"SELECT r.job_id, NULL::float8 FROM registry_trainingrun r WHERE {sql}"
        " ORDER BY r.job_id DESC LIMIT %s",
        [*values, limit],
    )


def _visible(actor: Actor, condition: Sql) -> Sql:
    teams = actor.visible_team_ids()
    sql, values = condition
    return (
        (sql, values) if teams is None else (f"r.team_id = ANY(%s) AND ({sql})", [teams, *values])
    )


def _within(experiments: Sequence[int] | None, condition: Sql) -> Sql:
    """Of these experiments alone, where some are given."""
    if experiments is None:
        return condition
    rows = "SELECT e.run_id FROM registry_loggedrun e WHERE e.experiment_id = ANY(%s)"
    return f"r.job_id IN ({rows}) AND ({condition[0]})", [list(experiments), *condition[1]]


def _rows(sql: str, values: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def _cursor(place: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place(cursor: str, by: Order) -> dict[str, Any] | None:
    """The place that a cursor holds; FieldError for one that no answer has ever held."""
    if not cursor:
        return None
    if not _CURSOR.fullmatch(cursor):
        raise FieldError("cursor", _not_ours())
    try:
        found = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        number, value = found["id"], found.get("v")
        is_ours = type(number) is int and 0 < number < 1 << 63 and ("v" in found) == bool(by.field)
        is_ours = is_ours and (value is None or (type(value) is float and math.isfinite(value)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise FieldError("cursor", _not_ours())
    return {"id": number, **({"v": value} if by.field else {})}


def _not_ours() -> str:
    return _("Take the cursor from the `next` of an earlier answer.")
