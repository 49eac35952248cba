"""How the new revision does beside the old one in the same time, from the record of calls."""

import datetime as dt
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from models_app.configs.specs.serving.rollout import RolloutSettings
from models_app.core.clock import now
from models_app.deployments.models import Replica
from models_app.deployments.verdicts import Verdicts, verdicts_on

ARMS = """
SELECT revision_id, mirrored, count(*),
       count(*) FILTER (WHERE status >= 500 OR outcome = 'replica_lost'),
       count(first_token_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms),
       avg(completion_tokens)
  FROM deployments_requestrecord
 WHERE deployment_id = %s AND at >= %s AND revision_id = ANY(%s) AND cache <> 'hit'
 GROUP BY 1, 2
"""
#: Replicas of the new revision that failed where another one answered instead: callers did not
#: notice, and yet it counts. Being full or about to leave is no failure.
HIDDEN = """
SELECT count(*), count(*) FILTER (WHERE revision_id IS DISTINCT FROM %s)
  FROM deployments_requestrecord
 WHERE deployment_id = %s AND at >= %s AND mirrored = %s AND retries + resumes > 0
   AND NOT (revision_id = %s AND (status >= 500 OR outcome = 'replica_lost')) AND detail ~ %s
"""
#: Copies beside the requests that they were made of. Texts are not kept, so answers that end alike
#: after as many tokens count as alike; and a copy is answered whole, so whole times are compared.
PAIRS = """
SELECT count(*),
       count(*) FILTER (WHERE copy.completion_tokens = original.completion_tokens
                          AND copy.outcome = original.outcome),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY copy.total_ms),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY original.total_ms)
  FROM deployments_requestrecord copy
  JOIN deployments_requestrecord original
    ON original.request_id = copy.request_id AND original.revision_id = %s
   AND NOT original.mirrored AND original.status = 200
 WHERE copy.deployment_id = %s AND copy.revision_id = %s AND copy.mirrored AND copy.at >= %s
   AND copy.status = 200
"""
WINDOW = dt.timedelta(minutes=30)
#: Of fewer requests nothing is concluded.
LEAST = 10
#: One failure alone is no reason.
LEAST_ERRORS = 2
#: Below this difference a slowdown is noise, however many times as slow it is.
FLOOR_MS = 20.0


@dataclass(frozen=True, kw_only=True)
class ArmFigures:
    """Calls of one revision. Times are milliseconds."""

    requests: int = 0
    errors: int = 0
    timed: int = 0
    first_token_p95_ms: float | None = None
    tokens: float | None = None

    @property
    def error_percent(self) -> float:
        return 100.0 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Copies that were answered, beside their originals. Times are milliseconds."""

    pairs: int
    alike: int
    copy_p95_ms: float
    original_p95_ms: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Both sides since the same moment."""

    new: ArmFigures
    old: ArmFigures
    copies: Pairs | None = None
    #: What the judge said of the copies; None where none is asked.
    judge: Verdicts | None = None

    @property
    def enough(self) -> bool:
        return self.new.requests >= LEAST

    def plain(self) -> dict[str, Any]:
        """For the timeline."""
        row: dict[str, Any] = {"new": _plain(self.new), "old": _plain(self.old)}
        if self.copies is not None:
            row["copies"] = {name: round(value, 1) for name, value in asdict(self.copies).items()}
        if self.judge is not None:
            row["judge"] = self.judge.plain()
        return row


def _plain(arm: ArmFigures) -> dict[str, Any]:
    row = {**asdict(arm), "error_percent": round(arm.error_percent, 2)}
    return {k: round(v, 1) if isinstance(v, float) and k != "error_percent" else v
            for k, v in row.items()}  # fmt: skip


def arm_figures(
    deployment_id: int,
    *,
    new: int,
    old: int | None,
    since: dt.datetime,
    mirrored: bool = False,
    judged: bool = False,
) -> Figures:
    """Of the revisions `new` and `old`; of the new one its copies only, where `mirrored`, and then
    what a judge said of them, where they are `judged`.

    Of a long watch the last half hour counts: what went well for a day hides nothing.
    """
    since = max(since, now() - WINDOW)
    with connection.cursor() as cursor:
        cursor.execute(ARMS, [deployment_id, since, [new, old or new]])
        rows = {(row[0], row[1]): _arm(row[2:]) for row in cursor.fetchall()}
    nothing = ArmFigures()
    return Figures(
        new=_with_hidden(rows.get((new, mirrored), nothing), deployment_id, new, since, mirrored),
        old=nothing if old is None else rows.get((old, False), nothing),
        copies=_pairs(deployment_id, new, old, since) if mirrored and old else None,
        judge=verdicts_on(new, old, since) if mirrored and judged and old else None,
    )


def _pairs(deployment_id: int, new: int, old: int, since: dt.datetime) -> Pairs | None:
    with connection.cursor() as cursor:
        cursor.execute(PAIRS, [old, deployment_id, new, since])
        count, alike, copy_ms, original_ms = cursor.fetchone()
    if not count:
        return None
    return Pairs(pairs=count, alike=alike, copy_p95_ms=copy_ms, original_p95_ms=original_ms)


def _with_hidden(
    arm: ArmFigures, deployment_id: int, revision_id: int, since: dt.datetime, mirrored: bool
) -> ArmFigures:
    """Failures of its replicas that the gateway made good count as such."""
    replicas = Replica.objects.filter(revision=revision_id).values_list("pk", flat=True)
    pattern = rf"(^|; )replica ({'|'.join(map(str, replicas)) or '0'}): (?!429|503)"
    with connection.cursor() as cursor:
        asked: list[Any] = [revision_id, deployment_id, since, mirrored, revision_id, pattern]
        cursor.execute(HIDDEN, asked)
        failed, elsewhere = cursor.fetchone()
    return replace(arm, requests=arm.requests + elsewhere, errors=arm.errors + failed)


def _arm(row: Any) -> ArmFigures:
    requests, errors, timed, p95, tokens = row
    return ArmFigures(
        requests=requests,
        errors=errors,
        timed=timed,
        first_token_p95_ms=p95,
        tokens=None if tokens is None else float(tokens),
    )


def why_bad(figures: Figures, limits: RolloutSettings) -> str:
    """Why the new revision must not go on; empty while nothing speaks against it."""
    new, old = figures.new, figures.old
    if not figures.enough:
        return ""
    if new.errors >= LEAST_ERRORS and new.error_percent > limits.max_error_percent:
        return _(
            "%(errors)s of %(requests)s requests failed (%(percent)s %%);"
            " the limit is %(limit)s %%."
        ) % {
            "errors": new.errors,
            "requests": new.requests,
            "percent": f"{new.error_percent:.1f}",
            "limit": f"{limits.max_error_percent:g}",
        }
    if (worse := _loses(figures.judge, limits)) or not limits.max_slowdown:
        return worse
    copies = figures.copies
    if copies is not None and copies.pairs >= LEAST:
        return _slow_copies(copies, limits.max_slowdown)
    if new.timed >= LEAST and old.timed >= LEAST:
        return _slow(new.first_token_p95_ms, old.first_token_p95_ms, limits.max_slowdown)
    return ""


def _loses(judge: Verdicts | None, limits: RolloutSettings) -> str:
    """Only where the win rate lies below the limit whatever chance has done."""
    if judge is None or not limits.min_win_percent or judge.decided < LEAST:
        return ""
    said, interval = judge.plain(), judge.interval
    if interval is None or interval[1] >= limits.min_win_percent:
        return ""
    return _(
        "The judge %(judge)s prefers %(wins)s of %(decided)s copies (%(percent)s %%, with 95 %%"
        " confidence at most %(high)s %%); the limit is %(limit)s %%."
    ) % {
        "judge": limits.judge,
        "wins": judge.wins,
        "decided": judge.decided,
        "percent": f"{said['win_percent']:g}",
        "high": f"{said['high_percent']:g}",
        "limit": f"{limits.min_win_percent:g}",
    }


def _slow_copies(copies: Pairs, limit: float) -> str:
    new, old = copies.copy_p95_ms, copies.original_p95_ms
    if new - old < FLOOR_MS or new <= limit * old:
        return ""
    return _(
        "Copies take %(new)s ms (p95) where the requests themselves take %(old)s ms; the limit is"
        " %(limit)s times as long."
    ) % {"new": f"{new:.0f}", "old": f"{old:.0f}", "limit": f"{limit:g}"}


def _slow(new: float | None, old: float | None, limit: float) -> str:
    if new is None or old is None or new - old < FLOOR_MS or new <= limit * old:
        return ""
    return _(
        "The first token takes %(new)s ms (p95) where the old revision needs %(old)s ms; the limit"
        " is %(limit)s times as long."
    ) % {"new": f"{new:.0f}", "old": f"{old:.0f}", "limit": f"{limit:g}"}
