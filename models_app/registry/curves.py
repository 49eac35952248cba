"""Curves of runs as they are drawn, also of programs that give their values no steps."""

from typing import Any

from django.db import connection

from models_app.jobs.metrics import metric_series, sampled
from models_app.jobs.models import Job

#: Such a program logs everything at step 0: there are further values of it, and no other steps.
_STEPLESS = """
SELECT EXISTS (SELECT 1 FROM registry_sidepoint
                WHERE run_id = %(job)s AND name = %(name)s AND step = 0 AND is_finite)
   AND NOT EXISTS (SELECT 1 FROM jobs_metricpoint
                    WHERE job_id = %(job)s AND name = %(name)s AND step > 0)
"""
_IN_TURN = """
SELECT step, value FROM (
  SELECT row_number() OVER (ORDER BY at, value) - 1 AS step, value FROM (
    SELECT at, value FROM jobs_metricpoint WHERE job_id = %(job)s AND name = %(name)s
     UNION ALL
    SELECT at, value FROM registry_sidepoint
     WHERE run_id = %(job)s AND name = %(name)s AND is_finite) AS every) AS numbered
 WHERE step > %(after)s
"""


def curve_of(
    *, job: Job, name: str, after_step: int = -1, max_points: int = 1000
) -> list[tuple[int, float]]:
    """At most about `max_points` points of one metric in order.

    The x of a point is its step; without any steps it is how many values came before it.
    """
    values: dict[str, Any] = {"job": job.pk, "name": name}
    with connection.cursor() as cursor:
        cursor.execute(_STEPLESS, values)
        (stepless,) = cursor.fetchone()
    if stepless:
        return sampled(_IN_TURN, max_points, **values, after=after_step)
    return metric_series(job=job, name=name, after_step=after_step, max_points=max_points)
