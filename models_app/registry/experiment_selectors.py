"""Reads experiments, and logged runs with everything that their programs ask back."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from models_app.core.actor import Actor
from models_app.core.models import TeamQuerySet
from models_app.jobs.models import MetricPoint
from models_app.registry.experiments import Experiment, LoggedRun, RunFile, SidePoint
from models_app.registry.models import RunParam, Tag

#: name, step, value, at
Point = tuple[str, int, float, dt.datetime]
#: A figure that the job ended with may stand at no point.
_NEWEST = """
SELECT l.job_id, l.name, l.step, l.value, coalesce(p.at, j.finished_at, j.created_at)
  FROM jobs_metriclatest l JOIN jobs_job j ON j.id = l.job_id
  LEFT JOIN jobs_metricpoint p ON p.job_id = l.job_id AND p.name = l.name AND p.step = l.step
 WHERE l.job_id = ANY(%s) ORDER BY l.name
"""
_NEWEST_ODD = """
SELECT DISTINCT ON (run_id, name) run_id, name, step, value, at FROM registry_sidepoint
 WHERE run_id = ANY(%s) AND NOT is_finite
 ORDER BY run_id, name, step DESC, at DESC, nullif(value, 'NaN') DESC NULLS LAST
"""


@dataclass(frozen=True, kw_only=True)
class LoggedView:
    """A logged run with whole texts, and the newest point of each metric, numbers or not."""

    logged: LoggedRun
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Point] = field(default_factory=dict)


def experiments_visible(actor: Actor) -> TeamQuerySet[Experiment]:
    """Experiments of the teams that the actor sees, newest first."""
    return Experiment.objects.select_related("team").visible_to(actor)


def experiment_get(*, actor: Actor, experiment_id: int) -> Experiment:
    """One experiment, or NotFound."""
    return Experiment.objects.select_related("team").get_visible(actor, pk=experiment_id)


def logged_get(*, actor: Actor, key: str) -> LoggedRun:
    """One logged run by what its program calls it, with its run and job; or NotFound."""
    rows = LoggedRun.objects.select_related("experiment", "run__job", "run__created_by")
    return rows.get_visible(actor, key=key)


def logged_alone(*, actor: Actor, key: str) -> LoggedRun:
    """The same without its job, for reports that come many times a second."""
    return LoggedRun.objects.select_related("run").get_visible(actor, key=key)


def logged_of(run_id: int) -> LoggedRun | None:
    """What a program logged beside a run, if one did."""
    return LoggedRun.objects.select_related("experiment").filter(pk=run_id).first()


def logged_views(rows: Sequence[LoggedRun]) -> list[LoggedView]:
    """Runs with what was logged: four queries, however many there are."""
    keys = [row.pk for row in rows]
    params: dict[int, dict[str, str]] = defaultdict(dict)
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    given = RunParam.objects.filter(run__in=keys).order_by("run", "name")
    for key, name, text in given.values_list("run_id", "name", "text"):
        params[key][name] = text
    tagged = Tag.objects.filter(job__in=keys).order_by("name")
    for job, name, text in tagged.values_list("job_id", "name", "value"):
        tags[job or 0][name] = text
    metrics = _newest(keys)
    return [
        LoggedView(
            logged=row,
            params=params[row.pk] | row.long_texts.get("params", {}),
            tags=tags[row.pk] | row.long_texts.get("tags", {}),
            metrics=metrics[row.pk],
        )
        for row in rows
    ]


def logged_in_order(run_ids: Sequence[int]) -> list[LoggedRun]:
    """Logged runs that a search has found, in its order."""
    rows = LoggedRun.objects.select_related("experiment", "run__job", "run__created_by")
    found = rows.in_bulk(run_ids)
    return [found[pk] for pk in run_ids if pk in found]


def metric_history(
    *,
    run_id: int,
    name: str,
    first: int | None = None,
    last: int | None = None,
    start: int = 0,
    most: int | None = None,
) -> list[Point]:
    """Every value of one metric in the order of time, step and value, as MLflow's server tells it.

    `first` and `last` bound the steps; `start` and `most` cut a page out of what is left.
    """
    steps: dict[str, Any] = {}
    if first is not None:
        steps["step__gte"] = first
    if last is not None:
        steps["step__lte"] = last
    columns = ("at", "step", "value")
    shown = MetricPoint.objects.filter(job=run_id, name=name, **steps).values_list(*columns)
    beside = SidePoint.objects.filter(run=run_id, name=name, **steps).values_list(*columns)
    rows = shown.union(beside, all=True).order_by(*columns)
    page = rows[start:] if most is None else rows[start : start + most]
    return [(name, step, value, at) for at, step, value in page]


def run_files(run_id: int) -> list[RunFile]:
    """What its program has left with a run, by path."""
    return list(RunFile.objects.filter(run=run_id).order_by("path"))


def _newest(run_ids: Sequence[int]) -> dict[int, dict[str, Point]]:
    found: dict[int, dict[str, Point]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [list(run_ids)])
        for run, name, step, value, at in cursor.fetchall():
            found[run][name] = (name, step, value, at)
        cursor.execute(_NEWEST_ODD, [list(run_ids)])
        for run, name, step, value, at in cursor.fetchall():
            known = found[run].get(name)
            if known is None or (step, at, value) > (known[1], known[3], known[2]):
                found[run][name] = (name, step, value, at)
    return found
