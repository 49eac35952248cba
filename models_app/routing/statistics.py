"""Figures of routes: who answered whom by which rule, and how copies compare."""

import datetime as dt
from dataclasses import dataclass

from django.db import connection

from models_app.core.clock import now
from models_app.deployments.verdicts import Verdicts
from models_app.routing.models import Route

HOUR = dt.timedelta(hours=1)

_SHARES = """
SELECT rule, d.name, r.number, degraded,
       count(*),
       count(*) FILTER (WHERE status >= 500 OR outcome = 'replica_lost'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY total_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY total_ms)
  FROM deployments_requestrecord AS q
  LEFT JOIN deployments_deployment AS d ON d.id = q.deployment_id
  LEFT JOIN deployments_revision AS r ON r.id = q.revision_id
 WHERE q.model = %s AND q.at > %s AND NOT q.mirrored AND q.rule <> ''
 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4
"""
_MIRROR = """
SELECT count(*),
       count(*) FILTER (WHERE outcome = 'compared'),
       count(*) FILTER (WHERE outcome = 'dropped'),
       count(*) FILTER (WHERE outcome = 'failed'),
       count(*) FILTER (WHERE same),
       avg(alike::float / NULLIF(length, 0)) FILTER (WHERE outcome = 'compared'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY total_ms) FILTER (WHERE outcome = 'compared'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY total_ms) FILTER (WHERE outcome = 'compared'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY mirror_total_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY mirror_total_ms),
       count(*) FILTER (WHERE verdict = 'win'),
       count(*) FILTER (WHERE verdict = 'loss'),
       count(*) FILTER (WHERE verdict = 'tie')
  FROM routing_mirrorpair
 WHERE route_id = %s AND at > %s
   AND mirror_deployment_id = (
       SELECT id FROM deployments_deployment WHERE team_id = %s AND name = %s)
"""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Requests of a span that one rule sent to one revision. Times are milliseconds."""

    rule: str
    deployment: str
    revision: int | None
    #: What came instead, such as `ngram`; empty: what was asked.
    degraded: str
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    #: Of all requests of the route, percent.
    percent: float


@dataclass(frozen=True, kw_only=True)
class MirrorReport:
    """How the answers that nobody got compare with those that callers got.

    Latencies are of the pairs only, so that both sides answered the same requests.
    """

    copies: int
    compared: int
    dropped: int
    failed: int
    same: int
    #: Of the longer answer, how much both begin with alike, on average, percent.
    alike_percent: float | None
    p50_ms: float | None
    p95_ms: float | None
    mirror_p50_ms: float | None
    mirror_p95_ms: float | None
    #: What the judge said of the copies.
    judge: Verdicts

    @property
    def same_percent(self) -> float | None:
        """Exact matches of the pairs that could be compared."""
        return 100.0 * self.same / self.compared if self.compared else None


def route_shares(route: Route, *, span: dt.timedelta = HOUR) -> list[Share]:
    """Requests by rule, revision and substitute, the most first. `route` has its team."""
    with connection.cursor() as cursor:
        cursor.execute(_SHARES, [f"{route.team.slug}/{route.name}", now() - span])
        rows = cursor.fetchall()
    total = sum(row[4] for row in rows)
    return [
        Share(
            rule=rule,
            deployment=deployment or "",
            revision=revision,
            degraded=degraded,
            requests=count,
            errors=errors,
            p50_ms=p50,
            p95_ms=p95,
            percent=100.0 * count / total,
        )
        for rule, deployment, revision, degraded, count, errors, p50, p95 in rows
    ]


def mirror_report(route: Route, deployment: str, *, span: dt.timedelta = HOUR) -> MirrorReport:
    """The copies that went to a deployment of the route's team."""
    with connection.cursor() as cursor:
        cursor.execute(_MIRROR, [route.pk, now() - span, route.team_id, deployment])
        row = cursor.fetchone()
    return MirrorReport(
        copies=row[0],
        compared=row[1],
        dropped=row[2],
        failed=row[3],
        same=row[4],
        alike_percent=None if row[5] is None else 100.0 * row[5],
        p50_ms=row[6],
        p95_ms=row[7],
        mirror_p50_ms=row[8],
        mirror_p95_ms=row[9],
        judge=Verdicts(wins=row[10], losses=row[11], ties=row[12]),
    )
