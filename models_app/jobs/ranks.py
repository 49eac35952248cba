"""How the processes of one training do: what each says of itself with every point of the chart."""

import datetime as dt
import re
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db import connection

from models_app.jobs.models import Job

#: A process is slow whose steps take so many times as long as the median of the others.
SLOW = 1.5
NAME = re.compile(r"rank_(\d+)_(step_seconds|wait_seconds|memory_bytes)")

#: So many newest points are taken together: single steps of milliseconds say little.
TOGETHER = 5

# Only of the newest attempt: an earlier one may have had more processes.
NEWEST = f"""
SELECT latest.name, avg(point.value), max(point.at)
  FROM jobs_metriclatest latest
  JOIN jobs_jobattempt attempt ON attempt.job_id = latest.job_id AND attempt.epoch = %(epoch)s
 CROSS JOIN LATERAL (
   SELECT value, at FROM jobs_metricpoint
    WHERE job_id = latest.job_id AND name = latest.name AND at >= attempt.started_at
    ORDER BY step DESC LIMIT {TOGETHER}
 ) point
 WHERE latest.job_id = %(job)s AND latest.name LIKE 'rank\\_%%'
 GROUP BY latest.name
"""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One process: seconds of a step, of which it waited for others, memory, last point."""

    number: int
    seconds: float
    waits: float | None
    memory: float | None
    heard: dt.datetime
    slow: bool = False

    @property
    def busy(self) -> float:
        """Seconds of a step in which it worked itself."""
        return max(0.0, self.seconds - (self.waits or 0.0))


def ranks_of(*, job: Job) -> list[Rank]:
    """The processes of the newest attempt, by number; none where there is but one."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(NEWEST, {"job": job.pk, "epoch": job.epoch})
        for name, value, at in cursor.fetchall():
            if match := NAME.fullmatch(name):
                found[int(match[1])][match[2]] = (value, at)
    ranks = [
        Rank(
            number=number,
            seconds=row["step_seconds"][0],
            waits=row.get("wait_seconds", (None,))[0],
            memory=row.get("memory_bytes", (None,))[0],
            heard=row["step_seconds"][1],
        )
        for number, row in sorted(found.items())
        if "step_seconds" in row
    ]
    return [_judged(rank, ranks) for rank in ranks] if len(ranks) > 1 else []


def _judged(rank: Rank, ranks: list[Rank]) -> Rank:
    """The same, marked as slow or not; nobody knows where waiting cannot be told."""
    if any(one.waits is None for one in ranks):
        return rank
    usual = median(one.busy for one in ranks if one.number != rank.number)
    return Rank(**{**vars(rank), "slow": usual > 0 and rank.busy > SLOW * usual})
