"""Jobs whose work is done by a program elsewhere, which reports it: no node takes them.

Such a job is `running` from the start. Its lease is long, is renewed by what the program reports,
and ends the job like any other when the program is never heard of again.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.digests import digest_json
from models_app.core.errors import FieldError, StaleEpoch, WrongState
from models_app.core.names import clean_title, one_of
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit
from models_app.jobs.attempts import job_fail, job_finish, job_stopped, lock_held
from models_app.jobs.idempotency import job_with_key, key_clean
from models_app.jobs.kind import kind_of
from models_app.jobs.metrics import metrics_append
from models_app.jobs.models import Job
from models_app.jobs.signals import job_announce
from models_app.jobs.states import HELD, JobState, ReasonCode
from models_app.pools.services.pools import pool_for

#: Stands where other jobs have the incarnation of their worker.
ELSEWHERE = "elsewhere"
#: How long such a job may stay silent.
LEASE = dt.timedelta(days=7)
ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)
#: A program may take up again what it has ended itself, or what ended without it. Nothing else has
#: a way out of these states: no worker's attempt hangs on it.
REOPENED = {str(state): {str(JobState.RUNNING)} for state in (*ENDS, JobState.TIMED_OUT)}


def is_elsewhere(job: Job) -> bool:
    """Whether a program elsewhere does the work of this job."""
    return job.worker == ELSEWHERE


@transaction.atomic
def job_begin_elsewhere(
    *, actor: Actor, team: Any, kind: str, title: str, idempotency_key: str | None = None
) -> tuple[Job, bool]:
    """A job that runs already, somewhere; and whether it is new.

    The same `idempotency_key` in the same team returns the job that exists. The caller has asked
    for the permission.
    """
    job = Job(
        team=team,
        created_by_id=actor.pk,
        kind=kind,
        title=clean_title(title, "name"),
        params_digest=digest_json({}),
        pool=pool_for(team=team),
        state=JobState.RUNNING,
        worker=ELSEWHERE,
        epoch=1,
        max_attempts=1,
        started_at=now(),
        lease_until=now() + LEASE,
        idempotency_key=key_clean(idempotency_key),
    )
    kind_of(job)
    earlier = _insert(job)
    if earlier is not None:
        return earlier, False
    audit_record(actor=actor, action="job.submitted", obj=job, changes={"kind": kind})
    job_announce(job)
    return job, True


def _insert(job: Job) -> Job | None:
    """None, or the job that has this key already."""
    if job.idempotency_key is None:
        job.save(force_insert=True)
        return None
    asked: dict[str, Any] = {"team": job.team, "key": job.idempotency_key, "kind": job.kind}
    earlier = job_with_key(**asked)
    if earlier is None:
        try:
            with transaction.atomic():
                job.save(force_insert=True)
        except IntegrityError:
            # Two requests with the same key at once: the other one won.
            earlier = job_with_key(**asked)
    return earlier


def job_report_elsewhere(*, job: Job, points: Sequence[tuple[str, int, float, str]]) -> None:
    """Store what the program has measured. Raises WrongState once the job is over."""
    try:
        metrics_append(job=job, points=points)
    except StaleEpoch:
        raise over(job) from None
    if job.lease_until is None or job.lease_until - now() < LEASE * 0.9:
        Job.objects.filter(pk=job.pk, state__in=sorted(HELD)).update(lease_until=now() + LEASE)
    step = max((point[1] for point in points), default=0)
    publish_on_commit("job.progress", {"id": job.pk, "metric_step": step}, f"job.{job.pk}")


@transaction.atomic
def job_end_elsewhere(*, job: Job, state: str, reason: str = "") -> Job:
    """The program says how its work ended. Raises WrongState once the job is over."""
    if state not in ENDS:
        raise FieldError("state", one_of(ENDS))
    try:
        lock_held(job)
        if state == JobState.SUCCEEDED:
            return job_finish(job=job, result={}, attempt={})
        if state == JobState.FAILED:
            text = reason or "The program that did the work says that it failed."
            return job_fail(
                job=job, code=ReasonCode.USER_CODE, message=text, permanent=True, attempt={}
            )
        return job_stopped(job=job, attempt={})
    except StaleEpoch:
        raise over(job) from None


@transaction.atomic
def job_reopen_elsewhere(*, job: Job) -> None:
    """The program goes on with work that had ended. Raises WrongState where it has not, and for
    jobs that workers do."""
    if not is_elsewhere(job):
        raise WrongState(_("Only runs that were begun from elsewhere are reported from there."))
    advance(
        job, JobState.RUNNING, allowed=REOPENED, lease_until=now() + LEASE, finished_at=None,
        reason_code="", reason="", result=None, percent=None,
        cancel_requested_at=None, cancel_requested_by=None,
    )  # fmt: skip
    job_announce(job)


def over(job: Job) -> WrongState:
    """Said of a job whose program reports although it is over."""
    job.refresh_from_db(fields=["state"])
    said = _("Job %(id)s has already ended: %(state)s.")
    return WrongState(said % {"id": job.pk, "state": job.get_state_display()}, state=str(job.state))
