"""Metrics of a job: narrow rows, idempotent by (job, name, step), read down-sampled."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from models_app.core.errors import StaleEpoch
from models_app.jobs.attempts import held
from models_app.jobs.models import Job, MetricLatest, MetricPoint

UPSERT = """
INSERT INTO jobs_metricpoint (job_id, name, step, value, at)
SELECT %s, u.name, u.step, u.value, u.at
  FROM unnest(%s::text[], %s::bigint[], %s::float8[], %s::timestamptz[]) AS u(name, step, value, at)
ON CONFLICT (job_id, name, step) DO UPDATE SET value = excluded.value, at = excluded.at
"""

# Points and newest values in one statement; within it both see the table as it was before.
LATEST = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT DISTINCT ON (u.name) %s, u.name, u.step, u.value
  FROM unnest(%s::text[], %s::bigint[], %s::float8[]) AS u(name, step, value)
 ORDER BY u.name, u.step DESC
ON CONFLICT (job_id, name) DO UPDATE SET step = excluded.step, value = excluded.value
 WHERE excluded.step >= jobs_metriclatest.step
"""

CONCLUDE = """
INSERT INTO jobs_metriclatest (job_id, name, step, value)
SELECT %s, u.name, %s, u.value FROM unnest(%s::text[], %s::float8[]) AS u(name, value)
ON CONFLICT (job_id, name) DO UPDATE SET value = excluded.value,
       step = greatest(excluded.step, jobs_metriclatest.step)
"""

# The lowest and the highest point of each bucket: every spike stays, the answer is bounded.
SAMPLE = """
SELECT min(value), max(value),
       (array_agg(step ORDER BY value))[1], (array_agg(step ORDER BY value DESC))[1]
  FROM (SELECT step, value, ntile(%(buckets)s) OVER (ORDER BY step) AS bucket
          FROM jobs_metricpoint
         WHERE job_id = %(job)s AND name = %(name)s AND step > %(after)s) AS points
 GROUP BY bucket ORDER BY bucket
"""


def metrics_append(*, job: Job, points: Iterable[tuple[str, int, float, str]]) -> None:
    """Store `(name, step, value, at)`; a repeated step replaces its value. Raises StaleEpoch."""
    rows = _rows(points)
    if not rows:
        return
    if not held(job).exists():
        raise StaleEpoch
    _write(UPSERT, job.pk, rows)


def metrics_append_late(*, job_id: int, points: Iterable[tuple[str, int, float, str]]) -> None:
    """Store what an attempt that is over had still measured, where nobody has done so since."""
    rows = _rows(points)
    if rows:
        _write(UPSERT.split("DO UPDATE", maxsplit=1)[0] + "DO NOTHING", job_id, rows)


def _rows(points: Iterable[tuple[str, int, float, str]]) -> list[tuple[str, int, float, str]]:
    unique = {(name, step): (name, step, value, at) for name, step, value, at in points}
    return [row for row in unique.values() if math.isfinite(row[2])]


def _write(statement: str, job_id: int, rows: list[tuple[str, int, float, str]]) -> None:
    names, steps, values, times = zip(*rows, strict=True)
    columns = [list(names), list(steps), list(values)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH latest AS ({LATEST}) {statement}",
            [job_id, *columns, job_id, *columns, list(times)],
        )


def metrics_conclude(*, job: Job, values: Mapping[str, Any]) -> None:
    """The figures that a job ended with become the newest values of their names."""
    rows = [
        (name[:60], float(value))
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
    return list(
        MetricPoint.objects.filter(job=job)
        .order_by("name")
        .values_list("name", flat=True)
        .distinct()
    )


def metric_series(
    *, job: Job, name: str, after_step: int = -1, max_points: int = 1000
) -> list[tuple[int, float]]:
    """At most about `max_points` points in order: all of them, or each bucket's low and high."""
    rows = MetricPoint.objects.filter(job=job, name=name, step__gt=after_step).order_by("step")
    count = rows.count()
    if count <= max_points:
        return list(rows.values_list("step", "value"))
    with connection.cursor() as cursor:
        cursor.execute(
            SAMPLE,
            {"buckets": max_points // 2, "job": job.pk, "name": name, "after": after_step},
        )
        found: list[tuple[int, float]] = []
        for low, high, low_step, high_step in cursor.fetchall():
            found.extend(sorted({(int(low_step), float(low)), (int(high_step), float(high))}))
    return found


def metric_latest(*, job: Job) -> dict[str, tuple[int, float]]:
    """name -> (step, value) of the newest point of each metric."""
    rows = MetricLatest.objects.filter(job=job).order_by("name")
    return {name: (step, value) for name, step, value in rows.values_list("name", "step", "value")}


def as_json(series: list[tuple[int, float]]) -> list[list[Any]]:
    """Pairs as lists, for JSON."""
    return [[step, value] for step, value in series]
