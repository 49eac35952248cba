"""Metrics of a job: narrow rows, idempotent by (job, name, step), read down-sampled."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef

from models_app.core.errors import StaleEpoch
from models_app.jobs.models import LONGEST_METRIC, Job, MetricLatest, MetricPoint
from models_app.jobs.states import HELD

# Points and newest values in one statement, which stores nothing once the epoch does not hold the
# job. The points travel as one JSON text: binding each value costs more than storing it.
STORE = """
WITH u AS (
  SELECT * FROM json_to_recordset(%(points)s) AS u(n text, s bigint, v float8, t timestamptz)
), held AS (
  {held}
), points AS (
  INSERT INTO jobs_metricpoint (job_id, name, step, value, at)
  SELECT %(job)s, u.n, u.s, u.v, u.t FROM u, held
  ON CONFLICT (job_id, name, step) {again}
), latest AS (
  INSERT INTO jobs_metriclatest (job_id, name, step, value)
  SELECT DISTINCT ON (u.n) %(job)s, u.n, u.s, u.v FROM u, held ORDER BY u.n, u.s DESC
  ON CONFLICT (job_id, name) DO UPDATE SET step = excluded.step, value = excluded.value
   WHERE excluded.step >= jobs_metriclatest.step
)
SELECT count(*) FROM held
"""
HELD_ROW = """SELECT 1 FROM jobs_job WHERE id = %(job)s AND epoch = %(epoch)s
     AND state = ANY(%(held)s) AND lease_until > statement_timestamp()"""
REPLACE = STORE.format(
    held=HELD_ROW, again="DO UPDATE SET value = excluded.value, at = excluded.at"
)
KEEP = STORE.format(held="SELECT 1", again="DO NOTHING")

CONCLUDE = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT %s, u.name, %s, u.value FROM unnest(%s::text[], %s::float8[]) AS u(name, value)
ON CONFLICT (job_id, name) DO UPDATE SET value = excluded.value,
       step = greatest(excluded.step, jobs_metriclatest.step)
"""

POINTS = """SELECT step, value FROM jobs_metricpoint
   WHERE job_id = %(job)s AND name = %(name)s AND step > %(after)s"""
# All points where they are few; else the lowest and the highest of each bucket, so that every spike
# stays and the answer is bounded. Two arrays, as a row for each point would cost more to read.
SAMPLE = """
WITH points AS MATERIALIZED (
  {points}
), buckets AS (
  SELECT step, value, ntile(%(buckets)s) OVER (ORDER BY step) AS bucket FROM points
   WHERE (SELECT count(*) FROM points) > %(most)s
), kept AS (
  SELECT step, value FROM points WHERE (SELECT count(*) FROM points) <= %(most)s
   UNION
  (SELECT DISTINCT ON (bucket) step, value FROM buckets ORDER BY bucket, value, step)
   UNION
  (SELECT DISTINCT ON (bucket) step, value FROM buckets ORDER BY bucket, value DESC, step DESC)
)
SELECT array_agg(step ORDER BY step), array_agg(value ORDER BY step) FROM kept
"""


def metrics_append(*, job: Job, points: Iterable[tuple[str, int, float, str]]) -> None:
    """Store `(name, step, value, at)`; a repeated step replaces its value. Raises StaleEpoch."""
    text = _as_text(points)
    if text and not _store(REPLACE, job.pk, text, epoch=job.epoch, held=sorted(HELD)):
        raise StaleEpoch


def metrics_append_late(*, job_id: int, points: Iterable[tuple[str, int, float, str]]) -> None:
    """Store what an attempt that is over had still measured, where nobody has done so since."""
    text = _as_text(points)
    if text:
        _store(KEEP, job_id, text)


def _as_text(points: Iterable[tuple[str, int, float, str]]) -> str:
    """JSON of the finite points, the last of each step; empty where there are none."""
    unique = {
        (name, step): {"n": name, "s": step, "v": value, "t": at}
        for name, step, value, at in points
        if math.isfinite(value)
    }
    return json.dumps([*unique.values()]) if unique else ""


def _store(statement: str, job_id: int, points: str, **more: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"job": job_id, "points": points, **more})
        return bool(cursor.fetchone()[0])


def metrics_conclude(*, job: Job, values: Mapping[str, Any]) -> None:
    """The figures that a job ended with become the newest values of their names."""
    rows = [
        (name[:LONGEST_METRIC], float(value))
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    if not rows:
        return
    names, numbers = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(CONCLUDE, [job.pk, job.step or 0, list(names), list(numbers)])


def metric_names(*, job: Job) -> list[str]:
    """Names of the metrics that this job has reported."""
    # Not all points are looked through; what a job only ended with has none.
    points = MetricPoint.objects.filter(job=OuterRef("job"), name=OuterRef("name"))
    rows = MetricLatest.objects.filter(Exists(points), job=job).order_by("name")
    return list(rows.values_list("name", flat=True))


def metric_series(
    *, job: Job, name: str, after_step: int = -1, max_points: int = 1000
) -> list[tuple[int, float]]:
    """At most about `max_points` points in order: all of them, or each bucket's low and high."""
    return sampled(POINTS, max_points, job=job.pk, name=name, after=after_step)


def sampled(points: str, max_points: int, **values: Any) -> list[tuple[int, float]]:
    """The same of what a statement selects as `step, value`."""
    with connection.cursor() as cursor:
        bounds = {"buckets": max_points // 2, "most": max_points}
        cursor.execute(SAMPLE.format(points=points), {**values, **bounds})
        steps, found = cursor.fetchone()
    return list(zip(steps or (), found or (), strict=True))


def metric_at(*, job_id: int, name: str, step: int) -> tuple[int, float] | None:
    """The first point at this step or after it, or None where it was not reached yet."""
    rows = MetricPoint.objects.filter(job=job_id, name=name, step__gte=step).order_by("step")
    return rows.values_list("step", "value").first()


def metric_latest(*, job: Job) -> dict[str, tuple[int, float]]:
    """name -> (step, value) of the newest point of each metric."""
    rows = MetricLatest.objects.filter(job=job).order_by("name")
    return {name: (step, value) for name, step, value in rows.values_list("name", "step", "value")}


def as_json(series: list[tuple[int, float]]) -> list[list[Any]]:
    """Pairs as lists, for JSON."""
    return [[step, value] for step, value in series]
