"""What people and programs do with jobs: submit, cancel, run again."""

import logging
from typing import Any

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerDown
from redis import RedisError

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.core.validation import parse
from models_app.events.publish import publish_on_commit
from models_app.jobs.kind import JobKind, job_kinds
from models_app.jobs.models import Job
from models_app.jobs.states import ALLOWED, OPEN, TERMINAL, JobState, ReasonCode

logger = logging.getLogger(__name__)


@transaction.atomic
def job_submit(
    *,
    actor: Actor,
    team: Any,
    kind: str,
    params: dict[str, Any],
    title: str = "",
    priority: int = 0,
    queue: str = "",
    timeout_s: int | None = None,
    idempotency_key: str | None = None,
    rerun_of: Job | None = None,
) -> Job:
    """Validate, store and announce a job; the go signal follows the commit.

    The same `idempotency_key` in the same team returns the job that exists. Raises InvalidInput
    with the path of each wrong field.
    """
    require(actor, "jobs.submit_job", team)
    if idempotency_key:
        earlier = Job.objects.filter(team=team, idempotency_key=idempotency_key).first()
        if earlier:
            return earlier
    job_kind = job_kinds.get(kind)
    checked = parse(job_kind.Params, params, prefix="params")
    job_kind.check(checked, actor=actor, team=team)
    job = _insert(
        team=team,
        created_by_id=actor.pk,
        kind=kind,
        title=clean_title(title or job_kind.title(checked)),
        params=checked.model_dump(mode="json"),
        params_digest=digest_json(checked.model_dump(mode="json")),
        queue=queue or job_kind.queue,
        priority=priority,
        max_attempts=job_kind.max_attempts,
        timeout_s=timeout_s,
        idempotency_key=idempotency_key,
        rerun_of=rerun_of,
        state=JobState.PENDING,
        run_after=Now(),
    )
    audit_record(actor=actor, action="job.submitted", obj=job, changes={"kind": kind})
    job_announce(job)
    send_go_on_commit(job)
    return job


def _insert(**fields: Any) -> Job:
    try:
        with transaction.atomic():
            job = Job.objects.create(**fields)
            job.refresh_from_db(fields=["run_after"])
            return job
    except IntegrityError:
        # Two requests with the same key at once: the other one won.
        key = fields["idempotency_key"]
        if key is None:
            raise
        return Job.objects.get(team=fields["team"], idempotency_key=key)


@transaction.atomic
def job_cancel(*, actor: Actor, job: Job) -> Job:
    """Stop a job. A queued one ends at once; a running one is asked politely, then killed."""
    require(actor, "jobs.cancel_job", job)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state in TERMINAL:
        raise WrongState(
            f"Job {job.pk} has already ended: {job.get_state_display()}.", state=job.state
        )
    if job.state == JobState.CANCELING:
        return job
    if job.state == JobState.RUNNING:
        advance(
            job,
            JobState.CANCELING,
            allowed=ALLOWED,
            cancel_requested_at=Now(),
            cancel_requested_by_id=actor.pk,
        )
    else:
        advance(
            job,
            JobState.CANCELED,
            allowed=ALLOWED,
            cancel_requested_at=Now(),
            cancel_requested_by_id=actor.pk,
            finished_at=Now(),
            reason_code=ReasonCode.CANCELED_BY,
            reason=f"Cancelled by {actor.label} before it ran.",
        )
        _ended(job)
    audit_record(actor=actor, action="job.cancel_requested", obj=job)
    job_announce(job)
    return job


@transaction.atomic
def job_rerun(*, actor: Actor, job: Job, changes: dict[str, Any] | None = None) -> Job:
    """A new job with the same parameters, or with some changed. History stays as it is."""
    require(actor, "jobs.rerun_job", job)
    if not job_kinds.get(job.kind).submittable:
        raise WrongState(f"Jobs of the kind {job.kind} are not run again by hand.")
    return job_submit(
        actor=actor,
        team=job.team,
        kind=job.kind,
        params={**job.params, **(changes or {})},
        title=job.title,
        priority=job.priority,
        queue=job.queue,
        timeout_s=job.timeout_s,
        rerun_of=job,
    )


@transaction.atomic
def job_set_priority(*, actor: Actor, job: Job, priority: int) -> Job:
    """Higher runs first. Only for work that is not over."""
    require(actor, "jobs.submit_job", job)
    if not -100 <= priority <= 100:
        raise FieldError("priority", "Use a number between -100 and 100.")
    if job.state not in OPEN:
        raise WrongState(f"Job {job.pk} has already ended.")
    old = job.priority
    Job.objects.filter(pk=job.pk).update(priority=priority)
    job.priority = priority
    audit_record(
        actor=actor, action="job.priority_changed", obj=job, changes={"from": old, "to": priority}
    )
    job_announce(job)
    return job


def job_announce(job: Job) -> None:
    """Tell the pages of this job and the lists of its team, after commit."""
    data = {"id": job.pk, "state": str(job.state), "kind": job.kind}
    publish_on_commit("job.changed", data, f"job.{job.pk}", f"team.{job.team_id}")


def send_go_on_commit(job: Job) -> None:
    """The go signal, a wake-up only: if it is lost, sweeper and workers' polls find the row."""
    transaction.on_commit(lambda: send_go(job.pk, job.queue), robust=True)


def send_go(job_id: int, queue: str) -> None:
    """Send it now; a broker that is down is no error, the row is still queued."""
    try:
        current_app.send_task("workers.run_job", kwargs={"job_id": job_id}, queue=queue)
    except (BrokerDown, RedisError, OSError) as error:
        logger.warning("go signal for job %s not sent: %s", job_id, error)
        return
    Job.objects.filter(pk=job_id, state=JobState.PENDING).update(sent_at=Now())


def kind_of(job: Job) -> tuple[JobKind, Any]:
    """The job's kind and its parsed parameters."""
    kind = job_kinds.get(job.kind)
    return kind, parse(kind.Params, job.params, prefix="params")


def _ended(job: Job) -> None:
    kind, params = kind_of(job)
    kind.ended(params, job)
