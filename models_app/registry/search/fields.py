"""What a filter can ask about, and how each comparison becomes SQL with parameters.

Every name and value of the filter travels as a parameter; the SQL itself is written here.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.names import one_of
from models_app.jobs.states import JobState
from models_app.registry.runs import RUN_KINDS
from models_app.registry.search.grammar import Comparison, Join, Node, Not, Value
from models_app.registry.search.tokens import FilterError

Sql = tuple[str, list[Any]]
#: Fields that have a name behind the dot: another way to write them -> field.
MAPS = {"metric": "metrics", "param": "params", "tag": "tags"}
NAMED = ("metrics", "params", "tags")
ORDERED = ("<", "<=", ">", ">=")


def compile_filter(node: Node | None, actor: Actor) -> Sql:
    """A condition on `r`, the run. `and` and `or` of parts; a missing value makes one false."""
    if node is None:
        return "TRUE", []
    if isinstance(node, Not):
        sql, values = compile_filter(node.of, actor)
        return f"NOT ({sql})", values
    if isinstance(node, Join):
        parts = [compile_filter(part, actor) for part in node.parts]
        sql = f" {node.word.upper()} ".join(f"({part})" for part, _values in parts)
        return sql, [value for _sql, values in parts for value in values]
    return _comparison(node, actor)


def _comparison(one: Comparison, actor: Actor) -> Sql:
    field = MAPS.get(one.field, one.field)
    if field in NAMED:
        if not one.name:
            said = _("write a name behind the dot, such as %(field)s.loss.")
            raise FilterError(one.column, said % {"field": field})
        return MAKERS[field](one)
    maker = SIMPLE.get(field)
    if maker is None or one.name:
        known = [*(f"{name}.…" for name in NAMED), *SIMPLE]
        written = f"{one.field}.{one.name}" if one.name else one.field
        said = _("there is no field %(field)s.") % {"field": written[:60]}
        raise FilterError(one.column, f"{said} {one_of(known)}")
    return maker(one, actor)


# ---- what a run has under a name ---------------------------------------------------------------


def _metric(one: Comparison) -> Sql:
    inside, values = _numbers(one, "m.value")
    sql = f"SELECT m.job_id FROM jobs_metriclatest m WHERE m.name = %s AND {inside}"
    return _among(one, sql, [one.name, *values])


def _param(one: Comparison) -> Sql:
    if one.sign != "null" and all(value.kind == "number" for value in one.values):
        inside, values = _numbers(one, "p.number")
    else:
        inside, values = _texts(one, "p.text")
    sql = f"SELECT p.run_id FROM registry_runparam p WHERE p.name = %s AND {inside}"
    return _among(one, sql, [one.name, *values])


def _tag(one: Comparison) -> Sql:
    inside, values = _texts(one, "t.value")
    sql = "SELECT t.job_id FROM registry_tag t WHERE t.job_id IS NOT NULL AND t.name = %s"
    return _among(one, f"{sql} AND {inside}", [one.name, *values])


def _among(one: Comparison, sql: str, values: list[Any]) -> Sql:
    """`is null` is about runs that have nothing under the name."""
    word = "NOT IN" if is_null(one) else "IN"
    return f"r.job_id {word} ({sql})", values


def _numbers(one: Comparison, column: str) -> Sql:
    if one.sign == "null":
        return "TRUE", []
    if one.sign == "like":
        raise FilterError(one.column, _("like compares texts; this is a number."))
    numbers = [_number(value) for value in one.values]
    return _signs(one, column, numbers)


def _texts(one: Comparison, column: str) -> Sql:
    if one.sign == "null":
        return "TRUE", []
    if one.sign == "like":
        return f"{column} {'NOT ' if one.negated else ''}ILIKE %s", [one.values[0].text]
    return _signs(one, column, [value.text for value in one.values])


def _signs(one: Comparison, column: str, values: Sequence[Any]) -> Sql:
    if one.sign == "in":
        word = "<> ALL" if one.negated else "= ANY"
        return f"{column} {word}(%s)", [list(values)]
    return f"{column} {one.sign.replace('!=', '<>')} %s", [values[0]]


def _number(value: Value) -> float:
    if value.kind != "number":
        said = _("a number was expected, found %(found)s.") % {"found": value.text[:40]}
        raise FilterError(value.column, said)
    number = float(value.text)
    if number in (float("inf"), float("-inf")):
        raise FilterError(value.column, _("this number is too large."))
    return number


# ---- what every run has ------------------------------------------------------------------------


def _text_column(column: str, rows: str, *, through: str = "") -> Callable[..., Sql]:
    """A text of another table, found first there and then by the run's own key."""

    def make(one: Comparison, actor: Actor) -> Sql:
        if one.sign == "null":
            if not through:
                raise FilterError(one.column, _("every run has this."))
            return f"{through} IS {'NOT ' if one.negated else ''}NULL", []
        inside, values = _texts(one, column)
        return (f"{through} IN ({rows} WHERE {inside})" if through else inside), values

    return make


def _experiment(one: Comparison, actor: Actor) -> Sql:
    """By name; runs that no program logged have none."""
    inside, values = _texts(one, "e.name")
    rows = (
        "SELECT l.run_id FROM registry_loggedrun l"
        " JOIN registry_experiment e ON e.id = l.experiment_id"
    )
    return _among(one, f"{rows} WHERE {inside}", values)


def _author(one: Comparison, actor: Actor) -> Sql:
    """By email; `me` is whoever searches."""
    values = [
        Value(v.kind, getattr(actor, "email", "") if v.text == "me" else v.text, v.column)
        for v in one.values
    ]
    mine = Comparison(one.field, one.name, one.sign, values, one.column, one.negated)
    rows = "SELECT u.id FROM access_user u"
    return _text_column("u.email", rows, through="r.created_by_id")(mine, actor)


def _state(one: Comparison, actor: Actor) -> Sql:
    for value in one.values:
        if one.sign != "like" and value.text not in JobState.values:
            raise FilterError(value.column, one_of(JobState.values))
    if one.sign in ORDERED or one.sign == "null":
        raise FilterError(one.column, _("compare this with = or in."))
    inside, values = _texts(one, "s.state")
    kinds = ", ".join(f"'{kind}'" for kind in RUN_KINDS)
    rows = f"SELECT s.id FROM jobs_job s WHERE s.kind IN ({kinds}) AND {inside}"
    return f"r.job_id IN ({rows})", values


def _kind(one: Comparison, actor: Actor) -> Sql:
    for value in one.values:
        if one.sign in ("=", "!=", "in") and value.text not in RUN_KINDS:
            raise FilterError(value.column, one_of(RUN_KINDS))
    inside, values = _texts(one, "s.kind")
    return f"r.job_id IN (SELECT s.id FROM jobs_job s WHERE {inside})", values


def _whole(column: str) -> Callable[..., Sql]:
    def make(one: Comparison, actor: Actor) -> Sql:
        return _numbers(one, column)

    return make


def is_null(one: Comparison) -> bool:
    """`is null`, and not its opposite."""
    return one.sign == "null" and not one.negated


def _version_number(rows: str, through: str) -> Callable[..., Sql]:
    def make(one: Comparison, actor: Actor) -> Sql:
        inside, values = _numbers(one, "v.number")
        sql = f"{through} IN ({rows} AND {inside})"
        return (f"({sql}) IS NOT TRUE" if is_null(one) else sql), values

    return make


def _time(column: str) -> Callable[..., Sql]:
    def make(one: Comparison, actor: Actor) -> Sql:
        if one.sign == "null":
            return f"{column} IS {'NOT ' if one.negated else ''}NULL", []
        if one.sign == "like":
            raise FilterError(one.column, _("like compares texts; this is a time."))
        return _signs(one, column, [_moment(value) for value in one.values])

    return make


def _finished(one: Comparison, actor: Actor) -> Sql:
    inside, values = _time("s.finished_at")(one, actor)
    kinds = ", ".join(f"'{kind}'" for kind in RUN_KINDS)
    return (
        f"r.job_id IN (SELECT s.id FROM jobs_job s WHERE s.kind IN ({kinds}) AND {inside})",
        values,
    )


def _moment(value: Value) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value.text)
    except ValueError:
        said = _("a day or time such as 2026-11-01 or 2026-11-01T09:30Z was expected.")
        raise FilterError(value.column, said) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


MAKERS: dict[str, Callable[[Comparison], Sql]] = {
    "metrics": _metric,
    "params": _param,
    "tags": _tag,
}
_DATA = "SELECT v.id FROM datasets_datasetversion v WHERE TRUE"
_MADE = "SELECT v.produced_by_id FROM registry_modelversion v WHERE v.produced_by_id IS NOT NULL"
SIMPLE: dict[str, Callable[..., Sql]] = {
    "name": _text_column("r.name", ""),
    "dataset": _text_column(
        "d.name", "SELECT d.id FROM datasets_dataset d", through="r.dataset_id"
    ),
    "dataset_version": _version_number(_DATA, "r.dataset_version_id"),
    "model": _text_column("m.name", "SELECT m.id FROM registry_model m", through="r.model_id"),
    "version": _version_number(_MADE, "r.job_id"),
    "team": _text_column("w.slug", "SELECT w.id FROM access_team w", through="r.team_id"),
    "experiment": _experiment,
    "author": _author,
    "state": _state,
    "kind": _kind,
    "id": _whole("r.job_id"),
    "created": _time("r.created_at"),
    "finished": _finished,
}
