"""All calls that an actor may see, in equal parts of a span of time, for the overview."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.deployments.models import Deployment

SERIES = """
SELECT floor(extract(epoch FROM (%(until)s - at)) / %(width)s)::int,
       count(*), coalesce(sum(completion_tokens), 0),
       count(*) FILTER (WHERE status >= 500 OR outcome = 'replica_lost'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms)
  FROM deployments_requestrecord
 WHERE deployment_id = ANY(%(ids)s) AND at > %(since)s AND at <= %(until)s
   AND NOT mirrored GROUP BY 1
"""
TOTAL = """
SELECT count(*), percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms)
  FROM deployments_requestrecord
 WHERE deployment_id = ANY(%(ids)s) AND at > %(since)s AND at <= %(until)s
   AND NOT mirrored
"""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Sums over the span and their course, oldest first. Times are milliseconds."""

    seconds: float
    requests: int = 0
    first_token_p95_ms: float | None = None
    requests_series: list[int] = field(default_factory=list)
    tokens_series: list[int] = field(default_factory=list)
    errors_series: list[int] = field(default_factory=list)
    latency_series: list[float] = field(default_factory=list)

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return sum(self.tokens_series) / self.seconds

    @property
    def errors(self) -> int:
        return sum(self.errors_series)

    @property
    def error_percent(self) -> float:
        return 100.0 * self.errors / self.requests if self.requests else 0.0


def traffic(*, actor: Actor, span: dt.timedelta, parts: int = 30) -> Traffic:
    """Calls to the deployments that the actor may see, during the last `span`."""
    until = now()
    ids = list(Deployment.objects.visible_to(actor).values_list("pk", flat=True))
    width = span.total_seconds() / parts
    bounds: dict[str, Any] = {"until": until, "since": until - span, "width": width, "ids": ids}
    with connection.cursor() as cursor:
        cursor.execute(SERIES, bounds)
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(TOTAL, bounds)
        requests, first_token = cursor.fetchone()
    places = [rows.get(parts - 1 - place, (0, 0, 0, None)) for place in range(parts)]
    return Traffic(
        seconds=span.total_seconds(),
        requests=requests,
        first_token_p95_ms=first_token,
        requests_series=[place[0] for place in places],
        tokens_series=[int(place[1]) for place in places],
        errors_series=[place[2] for place in places],
        latency_series=[float(place[3] or 0) for place in places],
    )
