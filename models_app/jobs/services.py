"""What people and programs do with jobs: submit, cancel, run again."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.digests import digest_json
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.core.validation import parse
from models_app.jobs.attempts import job_stopped
from models_app.jobs.gangs import gang_check
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.inputs import inputs_recorded
from models_app.jobs.kind import job_kinds, kind_of
from models_app.jobs.models import Job
from models_app.jobs.placement import first_place, place_on_commit
from models_app.jobs.resources import resources_fields, resources_parse
from models_app.jobs.signals import job_announce, send_go_on_commit, send_look_on_commit
from models_app.jobs.states import ALLOWED, HELD, TERMINAL, JobState, ReasonCode
from models_app.pools.services.pools import pool_for

#: The priority of replicas: people wait for them.
URGENT = 50


@transaction.atomic
def job_submit(
    *,
    actor: Actor,
    team: Any,
    kind: str,
    params: dict[str, Any],
    title: str = "",
    priority: int = 0,
    pool: str = "",
    resources: dict[str, Any] | None = None,
    timeout_s: int | None = None,
    idempotency_key: str | None = None,
    rerun_of: Job | None = None,
) -> Job:
    """Validate, store and announce a job; the go signal follows the commit.

    The same `idempotency_key` in the same team returns the job that exists, and is a Conflict with
    another kind or other parameters. Raises InvalidInput with the path of each wrong field, also
    for resources that no node of the pool has.
    """
    require(actor, "jobs.submit_job", team)
    job_kind = job_kinds.get(kind)
    checked = parse(job_kind.Params, params, prefix="params")
    values = checked.model_dump(mode="json")
    digest = digest_json(values)
    earlier = job_with_key(team=team, key=idempotency_key, kind=kind, params_digest=digest)
    if earlier is not None:
        return earlier
    job_kind.check(checked, actor=actor, team=team)
    check_priority(actor, team, priority)
    home = pool_for(team=team, name=pool)
    nodes = job_kind.nodes(checked)
    gang_check(pool=home, nodes=nodes)
    asked = resources_parse({**job_kind.resources(checked), **(resources or {})})
    wanted_gpus = job_kind.gpus(checked)
    job = Job(
        pool=home,
        nodes=nodes,
        **resources_fields(asked=asked, pool=home, wanted_gpus=wanted_gpus, nodes_wanted=nodes),
        team=team,
        created_by_id=actor.pk,
        kind=kind,
        title=clean_title(title or job_kind.title(checked)),
        params=values,
        params_digest=digest,
        inputs=inputs_recorded(job_kind, checked),
        priority=priority,
        max_attempts=job_kind.max_attempts,
        timeout_s=timeout_s,
        idempotency_key=idempotency_key or None,
        rerun_of=rerun_of,
        state=JobState.PENDING,
    )
    first_place(job)
    job = _insert(job)
    audit_record(actor=actor, action="job.submitted", obj=job, changes={"kind": kind})
    job_announce(job)
    if job.state == JobState.SCHEDULED:
        send_go_on_commit(job.node_name, 0)
    else:
        place_on_commit()
    return job


def check_priority(actor: Actor, team: Any, priority: int) -> None:
    """Anybody who submits may choose up to URGENT; above it only who may pass others by."""
    if not -100 <= priority <= 100:
        raise FieldError("priority", _("Use a number between -100 and 100."))
    if priority > URGENT:
        require(actor, "jobs.prioritise_job", team)


def _insert(job: Job) -> Job:
    if job.idempotency_key is None:
        job.save(force_insert=True)
        return job
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            return job
    except IntegrityError:
        # Two requests with the same key at once: the other one won.
        earlier = job_with_key(
            team=job.team, key=job.idempotency_key, kind=job.kind, params_digest=job.params_digest
        )
        assert earlier is not None
        return earlier


@transaction.atomic
def job_cancel(
    *, actor: Actor, job: Job, code: str = ReasonCode.CANCELED_BY, reason: str = ""
) -> Job:
    """Stop a job. A queued one ends at once; a running one is asked politely, then killed.

    `code` and `reason` are what it then says of its end, by default that the actor did it.
    """
    require(actor, "jobs.cancel_job", job)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state in TERMINAL:
        raise WrongState(
            _("Job %(id)s has already ended: %(state)s.")
            % {"id": job.pk, "state": job.get_state_display()},
            state=job.state,
        )
    if job.state == JobState.CANCELING:
        return job
    if job.state in HELD:
        if job.node_name:
            send_look_on_commit(job)
        advance(
            job,
            JobState.CANCELING,
            allowed=ALLOWED,
            cancel_requested_at=Now(),
            cancel_requested_by_id=actor.pk,
            reason_code=code,
            reason=reason,
        )
    else:
        advance(
            job,
            JobState.CANCELED,
            allowed=ALLOWED,
            cancel_requested_at=Now(),
            cancel_requested_by_id=actor.pk,
            finished_at=Now(),
            reason_code=code,
            reason=reason or f"Cancelled by {actor.label} before it ran.",
        )
        _ended(job)
    audit_record(actor=actor, action="job.cancel_requested", obj=job)
    if job.state == JobState.CANCELING and not job.node_name:
        return job_stopped(job=job, attempt={})  # it runs elsewhere: nobody here is to be stopped
    job_announce(job)
    return job


@transaction.atomic
def job_rerun(*, actor: Actor, job: Job, changes: dict[str, Any] | None = None) -> Job:
    """A new job with the same parameters, or with some changed. History stays as it is."""
    require(actor, "jobs.rerun_job", job)
    if not job_kinds.get(job.kind).submittable:
        raise WrongState(
            _("Jobs of the kind %(kind)s are not run again by hand.") % {"kind": job.kind}
        )
    return job_submit(
        actor=actor,
        team=job.team,
        kind=job.kind,
        params={**job.params, **(changes or {})},
        title=job.title,
        priority=job.priority,
        pool=job.pool.name,
        resources=resources_of(job),
        timeout_s=job.timeout_s,
        rerun_of=job,
    )


def resources_of(job: Job) -> dict[str, Any]:
    """What a job asked for, as it is given to `job_submit`."""
    names = ("cpus", "memory_mib", "disk_mib", "gpus", "node_selector")
    return {name: getattr(job, name) for name in names}


def _ended(job: Job) -> None:
    kind, params = kind_of(job)
    kind.ended(params, job)
