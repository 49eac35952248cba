"""Whether another attempt at a job may help, and how long it waits: docs/decisions/0004."""

import datetime as dt

from django.db.models import Max
from django.db.models.functions import Now

from models_app.jobs.failures import Failure
from models_app.jobs.models import Checkpoint, Job, JobAttempt
from models_app.jobs.states import ReasonCode

#: A job with checkpoints that somebody kills again and again is given up later than one that fails
#: by itself, and does not have to wait long: each attempt may have been on a good way.
KILLS_IN_VAIN = 25
LONGEST_AFTER_KILL = dt.timedelta(seconds=3)
#: A worker that is gone was not the job's fault, either.
AT_ONCE = {ReasonCode.NODE_LOST, ReasonCode.LEASE_EXPIRED}

#: A job that serves counts its deaths over so long, however well it did in between.
CRASH_MEMORY = dt.timedelta(minutes=10)

#: Ends of attempts that say nothing against the job.
NO_DEATH = [
    "", *AT_ONCE, ReasonCode.CANCELED_BY, ReasonCode.DRAINED, ReasonCode.PREEMPTED,
]  # fmt: skip

#: Code and message when another attempt would be in vain, and how long the next one waits.
Verdict = tuple[tuple[str, str] | None, dt.timedelta]


def failed_again(row: Job, failure: Failure, barren: int) -> Verdict:
    """After `barren` attempts in a row that brought no new checkpoint."""
    if failure.signature and failure.signature == row.failure_signature and barren > 1:
        text = f"{failure.message} It failed twice at the same place with nothing new in between."
        return (ReasonCode.POISON, text), dt.timedelta()
    hopeless = _exhausted(row, failure, barren) if barren >= row.max_attempts else None
    blameless = failure.from_outside or failure.code in AT_ONCE
    return hopeless, _back_off(barren - blameless)


def served_again(row: Job, failure: Failure) -> dt.timedelta:
    """How long a job that serves waits after it died: 0, 1, 3, 7 … seconds by its recent deaths."""
    if failure.code in AT_ONCE:
        return dt.timedelta()
    deaths = JobAttempt.objects.filter(
        job=row, epoch__lt=row.epoch, ended_at__gt=Now() - CRASH_MEMORY
    ).exclude(reason_code__in=NO_DEATH)
    return _back_off(deaths.count())


def killed_again(row: Job, failure: Failure) -> Verdict:
    """For a job with checkpoints that somebody has killed."""
    newest = Checkpoint.objects.filter(job=row).aggregate(epoch=Max("epoch"))["epoch"] or 0
    killed = JobAttempt.objects.filter(job=row, reason_code=ReasonCode.KILLED)
    earlier = killed.filter(epoch__gt=newest, epoch__lt=row.epoch).count()
    hopeless = _exhausted(row, failure, earlier + 1) if earlier + 1 >= KILLS_IN_VAIN else None
    return hopeless, min(LONGEST_AFTER_KILL, _back_off(earlier))


def _back_off(failures: int) -> dt.timedelta:
    """0, 1, 3, 7 … seconds, five minutes at most."""
    return dt.timedelta(seconds=min(300, 2 ** min(failures, 9) - 1))


def _exhausted(row: Job, failure: Failure, in_vain: int) -> tuple[str, str]:
    text = (
        f"{failure.message} This was attempt {row.epoch}; {in_vain} in a row brought nothing new."
    )
    return ReasonCode.RETRIES_EXHAUSTED, text
