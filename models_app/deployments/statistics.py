"""Figures from the record of calls."""

import datetime as dt
from dataclasses import dataclass

from django.db import connection

from models_app.core.clock import now
from models_app.deployments.models import Deployment

FIGURES = """
SELECT count(*),
       count(*) FILTER (WHERE status >= 500 OR outcome = 'replica_lost'),
       count(*) FILTER (WHERE status BETWEEN 400 AND 499),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY first_token_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY total_ms),
       coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)
  FROM deployments_requestrecord WHERE deployment_id = %s AND at > %s AND NOT mirrored
"""
SERIES = """
SELECT floor(extract(epoch FROM (%s - at)) / %s)::int AS bucket, count(*)
  FROM deployments_requestrecord WHERE deployment_id = %s AND at > %s AND NOT mirrored GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True)
class RequestFigures:
    """Calls in a span of time. Times are milliseconds, None where nothing was measured."""

    seconds: float
    requests: int
    errors: int
    refused: int
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    total_p95_ms: float | None
    prompt_tokens: int
    completion_tokens: int
    #: Calls in equal parts of the span, oldest first.
    series: list[int]

    @property
    def error_percent(self) -> float | None:
        return 100.0 * self.errors / self.requests if self.requests else None

    @property
    def per_minute(self) -> float:
        return self.requests * 60.0 / self.seconds


def request_figures(
    deployment: Deployment, *, span: dt.timedelta = dt.timedelta(hours=1), parts: int = 30
) -> RequestFigures:
    """Figures of the last hour, or of another span."""
    until = now()
    since = until - span
    width = span.total_seconds() / parts
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, [deployment.pk, since])
        row = cursor.fetchone()
        cursor.execute(SERIES, [until, width, deployment.pk, since])
        counts = dict(cursor.fetchall())
    return RequestFigures(
        seconds=span.total_seconds(),
        requests=row[0],
        errors=row[1],
        refused=row[2],
        first_token_p50_ms=row[3],
        first_token_p95_ms=row[4],
        total_p95_ms=row[5],
        prompt_tokens=int(row[6]),
        completion_tokens=int(row[7]),
        series=[counts.get(parts - 1 - place, 0) for place in range(parts)],
    )
