"""What an attempt has left behind: its tail shipped late, or a line that says that it is missing.

A late writer holds no lease. It needs none: the attempt is over, and the compare-and-set on the
position in its spool lets each line in once, whoever brings it.
"""

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from models_app.core.clock import stamp
from models_app.jobs.log_chunks import Line, pack
from models_app.jobs.logs import GAP_STREAM, advance, log_bell, move_spool, store, writers
from models_app.jobs.models import Job, JobAttempt, JobPart
from models_app.jobs.states import HELD, TERMINAL

#: A node that comes back has so long until the end of its log is called missing.
GAP_AFTER = dt.timedelta(seconds=60)
SWEEP = 100


class StillHeld(Exception):
    """The attempt holds its job: it ships its own log."""


@transaction.atomic
def log_append_late(
    *,
    job_id: int,
    epoch: int,
    lines: Sequence[Line],
    spool_from: int,
    spool_offset: int,
    complete: bool,
    part: int = 0,
) -> int:
    """Store lines of an attempt that is over, also of an ended job; returns the new log_seq.

    Raises SpoolMoved if somebody else was faster, StillHeld while the attempt holds the job.
    """
    attempt = _locked(job_id, epoch, part)
    move_spool(job_id, epoch, spool_from, spool_offset, part=part, complete=complete)
    note = _closing(attempt, bool(lines)) if lines or complete else None
    if note:
        writers(job_id, epoch, part).update(log_gap_seq=None)
    return _append(job_id, epoch, [note, *lines] if note else lines)


def attempts_without_end(*, job: Job, here: Sequence[int]) -> int:
    """Say in the log of a job which earlier attempts, not `here`, have not brought its end."""
    rows = JobAttempt.objects.filter(
        job=job, epoch__lt=job.epoch, log_complete=False, log_gap_seq=None
    ).exclude(epoch__in=here)
    return sum(_note_gap(job.pk, epoch, 0) for epoch in rows.values_list("epoch", flat=True))


def logs_note_gaps() -> int:
    """The same for jobs that have ended and whose nodes have been away for a while."""
    silent = {
        "job__state__in": sorted(TERMINAL),
        "log_complete": False,
        "log_gap_seq": None,
        "ended_at__lt": Now() - GAP_AFTER,
    }
    attempts = JobAttempt.objects.filter(**silent).order_by("pk")
    # Of a part that never began nothing is missing.
    parts = JobPart.objects.filter(**silent, number__gt=0, started_at__isnull=False).order_by("pk")
    found = [(*row, 0) for row in attempts.values_list("job_id", "epoch")[:SWEEP]]
    found += parts.values_list("job_id", "epoch", "number")[:SWEEP]
    return sum(_note_gap(job_id, epoch, part) for job_id, epoch, part in found)


@transaction.atomic
def _note_gap(job_id: int, epoch: int, part: int) -> int:
    attempt = _locked(job_id, epoch, part)
    if attempt.log_complete or attempt.log_gap_seq:
        return 0
    text = (
        f"Lines may be missing: what attempt {attempt.epoch} said last on {attempt.node_name} has"
        f" not arrived. Its log is known up to byte {attempt.spool_offset} of its spool."
    )
    seq = _append(job_id, epoch, [(stamp(), GAP_STREAM, "warning", text)])
    writers(job_id, epoch, part).update(log_gap_seq=seq)
    return 1


def _locked(job_id: int, epoch: int, part: int) -> JobAttempt | JobPart:
    # The job first, as everywhere: two who come from two sides must not wait for each other.
    Job.objects.select_for_update(no_key=True).get(pk=job_id)
    return writers(job_id, epoch, part).select_for_update().get()


def _closing(attempt: JobAttempt | JobPart, found: bool) -> Line | None:
    if attempt.log_gap_seq is None:
        return None
    what = "follow here, late" if found else "were none: nothing is missing"
    text = (
        f"The lines of attempt {attempt.epoch} on {attempt.node_name} that were missing at line"
        f" {attempt.log_gap_seq} {what}."
    )
    return (stamp(), GAP_STREAM, "warning" if found else "info", text)


def _append(job_id: int, epoch: int, lines: Sequence[Line]) -> int:
    chunk = pack(lines) if lines else None
    last = advance(
        job_id,
        len(lines),
        chunk.size if chunk else 0,
        "(epoch > %s OR NOT (state = ANY(%s)))",
        [epoch, sorted(HELD)],
    )
    if last is None:
        raise StillHeld(f"attempt {epoch} of job {job_id}")
    if chunk:
        store(job_id, epoch, last - len(lines) + 1, last, chunk)
        transaction.on_commit(lambda: log_bell(job_id=job_id, log_seq=last), robust=True)
    return last
