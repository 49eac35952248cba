"""Joins the small chunks of a slow job, so that a log of ten million lines is some thousand rows.

Numbers, times, attempts and texts stay as they are; only the rows change, in one transaction.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from models_app.jobs.log_chunks import SOLID_BYTES, SOLID_LINES, opened, pack
from models_app.jobs.models import LogChunk
from models_app.jobs.states import TERMINAL

#: A running job's loose chunks are joined when there are so many; until then they cost little.
GATHER = 48
SEGMENT_LINES, SEGMENT_BYTES = 2 * SOLID_LINES, 2 * SOLID_BYTES
#: Advisory locks of ours begin with this number.
LOCK = 0x106
SWEEP_JOBS = 20
LOOSE = """
SELECT id, epoch, first_seq, last_seq, size FROM jobs_logchunk
 WHERE job_id = %s AND grams IS NULL ORDER BY first_seq LIMIT 2000
"""
ENDED = """
SELECT DISTINCT c.job_id FROM jobs_logchunk c JOIN jobs_job j ON j.id = c.job_id
 WHERE c.grams IS NULL AND j.state = ANY(%s) LIMIT %s
"""


@transaction.atomic
def log_compact(*, job_id: int, ended: bool = False) -> int:
    """Join loose chunks of one job; returns how many rows that saved.

    While the job runs, what does not fill a segment yet stays loose; with `ended` nothing does.
    Somebody else who is at it already is left alone.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, job_id & 0x7FFFFFFF])
        if not cursor.fetchone()[0]:
            return 0
        # The lines are stored already; joining them again after a crash is all that can be lost.
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(LOOSE, [job_id])
        loose = cursor.fetchall()
    return sum(_join(job_id, run, ended) for run in _runs(loose) if ended or len(run) > 1)


def logs_compact() -> int:
    """Join what jobs have left that ended without doing so; for a clock to call now and then."""
    with connection.cursor() as cursor:
        cursor.execute(ENDED, [sorted(TERMINAL), SWEEP_JOBS])
        found = [row[0] for row in cursor.fetchall()]
    return sum(log_compact(job_id=job_id, ended=True) for job_id in found)


def _runs(loose: Sequence[Any]) -> list[list[Any]]:
    """Neighbours of the same attempt, gathered until they fill a segment."""
    runs: list[list[Any]] = []
    lines = size = 0
    for row in loose:
        _, epoch, first, last, more = row
        goes_on = runs and runs[-1][-1][1] == epoch and runs[-1][-1][3] + 1 == first
        if goes_on and lines < SEGMENT_LINES and size < SEGMENT_BYTES:
            runs[-1].append(row)
        else:
            runs.append([row])
            lines = size = 0
        lines += last - first + 1
        size += more
    return runs


def _join(job_id: int, run: Sequence[Any], ended: bool) -> int:
    ids = [row[0] for row in run]
    # A body is looked at only now, and those of one segment at most.
    rows = LogChunk.objects.filter(pk__in=ids).order_by("first_seq")
    found = list(rows.values_list("body", "stored_at"))
    lines = [line for body, _ in found for line in zip(*opened(bytes(body)).columns(), strict=True)]
    first, last = run[0][2], run[-1][3]
    if len(lines) != last - first + 1:
        # Some were dropped by retention in the meantime; the next round sees what is left.
        return 0
    chunk = pack(lines, index=ended)
    LogChunk.objects.filter(pk__in=ids).delete()
    LogChunk.objects.create(
        job_id=job_id,
        epoch=run[0][1],
        first_seq=first,
        last_seq=last,
        body=chunk.body,
        size=chunk.size,
        levels=chunk.levels,
        grams=chunk.grams,
        stored_at=max(at for _, at in found),
    )
    return len(run) - 1
