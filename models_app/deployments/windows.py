"""How a deployment did in the last quarter of an hour, hour or day: one query a window."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import connection

from models_app.core.clock import now
from models_app.deployments.models import Deployment, Revision

#: At most so many of the newest calls are counted: a page must not read a day of millions.
MOST = 50_000
PARTS = 30
WINDOWS = {
    "15m": dt.timedelta(minutes=15),
    "1h": dt.timedelta(hours=1),
    "24h": dt.timedelta(hours=24),
}

FIGURES = """
WITH calls AS (
  SELECT *, floor(extract(epoch FROM (%(until)s - at)) / %(width)s)::int AS part
    FROM deployments_requestrecord
   WHERE deployment_id = %(deployment)s AND at > %(since)s AND NOT mirrored
   ORDER BY at DESC LIMIT %(most)s
)
SELECT GROUPING(part, revision_id), part, revision_id,
       count(*), min(at),
       count(*) FILTER (WHERE status >= 500 OR outcome = 'replica_lost'),
       count(*) FILTER (WHERE status BETWEEN 400 AND 499),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY first_token_ms),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY total_ms)
         FILTER (WHERE status < 400),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY
         (completion_tokens - 1) * 1000.0 / NULLIF(total_ms - first_token_ms, 0))
         FILTER (WHERE stream AND completion_tokens > 1 AND cache <> 'hit'
                   AND total_ms > first_token_ms),
       coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
       count(*) FILTER (WHERE cache = 'hit'), count(*) FILTER (WHERE cache <> ''),
       coalesce(sum(cached_tokens) FILTER (WHERE cache <> 'hit'), 0),
       coalesce(sum(prompt_tokens) FILTER (WHERE cache <> 'hit'), 0)
  FROM calls GROUP BY GROUPING SETS ((), (revision_id), (part))
"""
ALL, REVISION, PART = 3, 2, 1


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Calls counted together. Percentiles are (p50, p95, p99) in milliseconds, None where nothing
    was measured; of the whole time those of answers only, since a refusal takes no time.
    """

    seconds: float
    requests: int
    errors: int
    refused: int
    first_token_ms: tuple[float, float, float] | None
    total_ms: tuple[float, float, float] | None
    #: Of one streamed answer, in the middle; what the cache of answers gave does not count.
    answer_tokens_per_s: float | None
    prompt_tokens: int
    completion_tokens: int
    answer_hits: int
    answer_asked: int
    reused_tokens: int
    read_tokens: int

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return self.completion_tokens / self.seconds

    @property
    def error_percent(self) -> float | None:
        return _percent(self.errors, self.requests)

    @property
    def answer_hit_percent(self) -> float | None:
        return _percent(self.answer_hits, self.answer_asked)

    @property
    def prefix_percent(self) -> float | None:
        return _percent(self.reused_tokens, self.read_tokens)


@dataclass(frozen=True, kw_only=True)
class Window:
    """All calls of the span, and each revision's, the newest revision first."""

    name: str
    total: Calls
    revisions: list[tuple[int, Calls]]
    #: Calls in equal parts of the span, oldest first.
    series: list[int]
    #: There were more than `MOST`: the figures are those of the newest.
    cut: bool


def window_figures(deployment: Deployment, *, window: str = "15m") -> Window:
    """Figures of one of `WINDOWS`; another name counts as the first."""
    name = window if window in WINDOWS else "15m"
    until, span = now(), WINDOWS[name]
    asked: dict[str, Any] = {
        "deployment": deployment.pk,
        "until": until,
        "since": until - span,
        "width": span.total_seconds() / PARTS,
        "most": MOST,
    }
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, asked)
        rows = cursor.fetchall()
    whole = next(row for row in rows if row[0] == ALL)
    cut = whole[3] >= MOST
    seconds = max(1.0, (until - whole[4]).total_seconds()) if cut else span.total_seconds()
    found = {row[2]: _calls(row, seconds) for row in rows if row[0] == REVISION and row[2]}
    numbers = Revision.objects.filter(pk__in=found).order_by("-number").values_list("pk", "number")
    parts = {row[1]: row[3] for row in rows if row[0] == PART}
    return Window(
        name=name,
        total=_calls(whole, seconds),
        revisions=[(number, found[pk]) for pk, number in numbers],
        series=[parts.get(PARTS - 1 - place, 0) for place in range(PARTS)],
        cut=cut,
    )


def _calls(row: Any, seconds: float) -> Calls:
    return Calls(
        seconds=seconds,
        requests=row[3],
        errors=row[5],
        refused=row[6],
        first_token_ms=_percentiles(row[7]),
        total_ms=_percentiles(row[8]),
        answer_tokens_per_s=None if row[9] is None else float(row[9]),
        prompt_tokens=int(row[10]),
        completion_tokens=int(row[11]),
        answer_hits=row[12],
        answer_asked=row[13],
        reused_tokens=int(row[14]),
        read_tokens=int(row[15]),
    )


def _percentiles(found: Any) -> tuple[float, float, float] | None:
    return None if found is None or found[0] is None else (found[0], found[1], found[2])


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None
