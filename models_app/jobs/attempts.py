"""What a worker writes about the job it holds. Every statement carries the epoch: a stale one hits
no row and raises StaleEpoch, which tells the worker to kill its child.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Now

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.errors import StaleEpoch
from models_app.jobs.failures import Failure, classify
from models_app.jobs.gangs import parts_end
from models_app.jobs.kind import kind_of
from models_app.jobs.models import Checkpoint, Job, JobAttempt
from models_app.jobs.part import JobPart
from models_app.jobs.placement import place_on_commit
from models_app.jobs.resources import Ask
from models_app.jobs.retries import failed_again, killed_again, served_again
from models_app.jobs.signals import job_announce
from models_app.jobs.states import HELD, JobState, ReasonCode


def job_renew(*, job: Job) -> str:
    """Sign of life. Returns the state, one of HELD, or raises StaleEpoch."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE id = %s AND epoch = %s AND state = ANY(%s)"
            " AND lease_until > clock_timestamp() RETURNING state",
            [settings.JOB_LEASE_S, job.pk, job.epoch, sorted(HELD)],
        )
        row = cursor.fetchone()
    if row is None:
        raise StaleEpoch(f"Attempt {job.epoch} of job {job.pk} has lost its lease.")
    return str(row[0])


def held(job: Job) -> Any:
    """The row, only while this epoch holds it."""
    return Job.objects.filter(
        pk=job.pk, epoch=job.epoch, state__in=sorted(HELD), lease_until__gt=Now()
    )


def lock_held(job: Job) -> Job:
    """The locked row while this epoch holds it, or StaleEpoch."""
    row = held(job).select_for_update().first()
    if row is None:
        raise StaleEpoch(f"Attempt {job.epoch} of job {job.pk} has lost its lease.")
    return row  # type: ignore[no-any-return]


def attempt_started(*, job: Job, pid: int) -> None:
    """The child process runs; of a job on several nodes it is that of the leading part, too."""
    JobAttempt.objects.filter(job=job, epoch=job.epoch).update(pid=pid)
    if job.nodes > 1:
        JobPart.objects.filter(job=job, epoch=job.epoch, number=0).update(pid=pid)


def attempt_isolated(*, job: Job, isolation: dict[str, Any]) -> None:
    """How the attempt is fenced in: limits, who enforces them, and where they can be read."""
    JobAttempt.objects.filter(job=job, epoch=job.epoch, ended_at=None).update(isolation=isolation)


def attempt_environment(*, job: Job, environment: dict[str, Any]) -> None:
    """What the child says of its environment."""
    JobAttempt.objects.filter(job=job, epoch=job.epoch).update(environment=environment)


def progress_report(*, job: Job, values: dict[str, Any]) -> None:
    """Store the newest progress (percent, stage, step, total_steps, eta_s)."""
    fields = {k: v for k, v in values.items() if k in PROGRESS_FIELDS and v is not None}
    if not held(job).update(progress_at=Now(), **fields):
        raise StaleEpoch


PROGRESS_FIELDS = {"percent", "stage", "step", "total_steps", "eta_s"}


@transaction.atomic
def checkpoint_record(*, job: Job, checkpoint: dict[str, Any]) -> None:
    """A durable checkpoint exists. It also shows that this attempt was not in vain."""
    row = lock_held(job)
    Checkpoint.objects.update_or_create(
        job=row, step=checkpoint["step"], epoch=job.epoch, defaults=checkpoint
    )
    Job.objects.filter(pk=row.pk).update(barren_attempts=0, failure_signature="")


@transaction.atomic
def checkpoints_forget(*, job: Job, exists: Callable[[str], bool]) -> None:
    """Drop the rows of checkpoints that retention has removed from the disk.

    The newest one in the store stays: on another node it is all there is to go on from. So do
    those that somebody keeps.
    """
    row = lock_held(job)
    rows = list(Checkpoint.objects.filter(job=row).order_by("-step", "-epoch"))
    stored = next((one.pk for one in rows if one.manifest), None)
    kept = {stored, *(one.pk for one in rows if one.pinned_at)}
    gone = [one.pk for one in rows if one.pk not in kept and not exists(one.path)]
    if gone:
        Checkpoint.objects.filter(pk__in=gone).delete()


@transaction.atomic
def job_ready(*, job: Job, data: dict[str, Any]) -> None:
    """A long-lived job serves now."""
    row = lock_held(job)
    Job.objects.filter(pk=row.pk).update(barren_attempts=0, stage="serving")
    kind, params = kind_of(row)
    kind.ready(params, row, data)
    job_announce(row)


@transaction.atomic
def job_report(*, job: Job, data: dict[str, Any]) -> None:
    """A long-lived job says how it stands now."""
    row = lock_held(job)
    kind, params = kind_of(row)
    kind.reported(params, row, data)


@transaction.atomic
def job_finish(*, job: Job, result: dict[str, Any], attempt: dict[str, Any]) -> Job:
    """Success: the kind's effects and the end of the job become visible together, once."""
    row = lock_held(job)
    kind, params = kind_of(row)
    if row.state == JobState.CANCELING:
        return _canceled(row, "Stopped on request.", attempt)
    result = kind.apply(params, row, result)
    Job.objects.filter(pk=row.pk).update(
        state=JobState.SUCCEEDED,
        lease_until=None,
        finished_at=Now(),
        result=result,
        percent=100,
        eta_s=0,
        stage="",
    )
    row.state, row.result, row.lease_until = JobState.SUCCEEDED, result, None
    _close_attempt(row, attempt)
    audit_record(actor=SYSTEM, action="job.succeeded", obj=row)
    job_announce(row)
    if not Ask.of(row).nothing:
        place_on_commit()
    return row


@transaction.atomic
def job_stopped(*, job: Job, attempt: dict[str, Any]) -> Job:
    """The child is gone after a cancel."""
    row = lock_held(job)
    who = row.cancel_requested_by.email if row.cancel_requested_by else "Slipway"
    return _canceled(row, f"Cancelled by {who}.", attempt)


@transaction.atomic
def job_fail(
    *,
    job: Job,
    code: str,
    message: str,
    permanent: bool,
    attempt: dict[str, Any],
    node: str = "",
    from_outside: bool = False,
) -> Job:
    """The attempt failed: the job fails too, or is queued again where that can help.

    `node` is where it failed, if that is not the job's own. `from_outside`: it was killed, and not
    by Slipway or for a limit.
    """
    row = lock_held(job)
    if row.state == JobState.CANCELING:
        return job_stopped(job=job, attempt=attempt)
    if code == ReasonCode.TIMEOUT:
        return _end(row, JobState.TIMED_OUT, code, message, attempt)
    failure = classify(
        code=code,
        message=message,
        permanent=permanent,
        exit_code=attempt.get("exit_code"),
        exit_signal=attempt.get("exit_signal", ""),
        tail=attempt.get("tail", ""),
        long_lived=kind_of(row)[0].long_lived,
        from_outside=from_outside,
    )
    if failure.final:
        return _end(row, JobState.FAILED, failure.code, failure.message, attempt)
    return _again(row, failure, attempt, node=node)


@transaction.atomic
def job_release(*, job: Job, message: str, attempt: dict[str, Any]) -> Job:
    """The attempt has saved what it can and gives the job back, without counting as a failure.

    Where it goes: `paused` if a person asked for it, else back into the queue.
    """
    row = lock_held(job)
    if row.state == JobState.CANCELING:
        return job_stopped(job=job, attempt=attempt)
    if row.state == JobState.PAUSING:
        return _put_by(row, JobState.PAUSED, ReasonCode.CANCELED_BY, row.reason, attempt)
    if row.state == JobState.PREEMPTING:
        code = row.yield_reason or ReasonCode.PREEMPTED
        return _put_by(row, JobState.PENDING, code, row.reason, attempt)
    return _again(row, _lost(ReasonCode.NODE_LOST, message), attempt, counted=False)


def _put_by(row: Job, state: str, code: str, message: str, attempt: dict[str, Any]) -> Job:
    _close_attempt(row, {"reason_code": code, "reason": message, **attempt})
    Job.objects.filter(pk=row.pk).update(
        state=state, lease_until=None, worker="", reason=message, run_after=Now()
    )
    row.refresh_from_db()
    kind, params = kind_of(row)
    kind.ended(params, row)
    audit_record(actor=SYSTEM, action="job.yielded", obj=row, changes={"reason": code})
    job_announce(row)
    place_on_commit()
    return row


def _lost(code: str, message: str) -> Failure:
    return Failure(code=code, message=message, final=False)


def attempt_lost(
    row: Job,
    code: str,
    message: str,
    hold: dt.timedelta | None = None,
    counted: bool = True,
) -> None:
    """Called by recovery with the row locked: nobody holds the job any more, or all of its parts.

    `hold` keeps it from starting elsewhere for a while: its node may come back. One that is not
    `counted` never began.
    """
    attempt = {"reason_code": code, "reason": message}
    if row.state == JobState.CANCELING:
        _canceled(row, "Cancelled; its worker was lost.", attempt)
    elif row.state == JobState.PAUSING:
        _put_by(row, JobState.PAUSED, code, row.reason, attempt)
    else:
        _again(row, _lost(code, message), attempt, counted, hold)


def _again(
    row: Job,
    failure: Failure,
    attempt: dict[str, Any],
    counted: bool = True,
    hold: dt.timedelta | None = None,
    node: str = "",
) -> Job:
    """→ recovering → pending, with back-off; or failed after too many barren attempts."""
    kind, params = kind_of(row)
    hopeless, delay = None, dt.timedelta()
    if failure.from_outside and kind.pausable:
        counted = False
        hopeless, delay = killed_again(row, failure)
    elif counted:
        hopeless, delay = failed_again(row, failure, row.barren_attempts + 1)
        if kind.long_lived:
            delay = max(delay, served_again(row, failure))
    if hopeless and not kind.long_lived:
        return _end(row, JobState.FAILED, *hopeless, attempt)
    _close_attempt(row, {"reason_code": failure.code, "reason": failure.message, **attempt})
    excluded = set(row.excluded_nodes) | ({node or row.node_name} if failure.leave_node else set())
    Job.objects.filter(pk=row.pk).update(
        state=JobState.RECOVERING,
        lease_until=None,
        worker="",
        reason_code=failure.code,
        reason=failure.message,
        barren_attempts=F("barren_attempts") + Value(1 if counted else 0),
        failure_signature=failure.signature,
        excluded_nodes=sorted(excluded),
    )
    kind.ended(params, row)
    audit_record(actor=SYSTEM, action="job.recovering", obj=row, changes={"reason": failure.code})
    Job.objects.filter(pk=row.pk, state=JobState.RECOVERING).update(
        state=JobState.PENDING,
        run_after=Now() + (hold or delay),
        hold_until=Now() + hold if hold else None,
    )
    row.refresh_from_db()
    job_announce(row)
    place_on_commit()
    return row


def _canceled(row: Job, message: str, attempt: dict[str, Any]) -> Job:
    """What the cancel said of the end goes before `message`."""
    code = row.reason_code or ReasonCode.CANCELED_BY
    return _end(row, JobState.CANCELED, code, row.reason or message, attempt)


def _end(row: Job, state: str, code: str, message: str, attempt: dict[str, Any]) -> Job:
    Job.objects.filter(pk=row.pk).update(
        state=state,
        lease_until=None,
        finished_at=Now(),
        reason_code=code,
        reason=message,
        eta_s=None,
    )
    row.refresh_from_db()
    _close_attempt(row, {"reason_code": code, "reason": message, **attempt})
    kind, params = kind_of(row)
    kind.ended(params, row)
    audit_record(actor=SYSTEM, action=f"job.{state}", obj=row, changes={"reason": code})
    job_announce(row)
    place_on_commit()
    return row


def _close_attempt(row: Job, attempt: dict[str, Any]) -> None:
    JobAttempt.objects.filter(job=row, epoch=row.epoch, ended_at=None).update(
        ended_at=Now(), **attempt
    )
    if row.nodes > 1:
        parts_end(row)
