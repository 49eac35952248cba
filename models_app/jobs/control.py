"""What people do to jobs on their way: pause, resume, change the priority."""

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import WrongState
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.placement import place_on_commit
from models_app.jobs.services import check_priority
from models_app.jobs.signals import job_announce, send_look_on_commit
from models_app.jobs.states import ALLOWED, OPEN, TERMINAL, JobState

#: Not started: it is paused at once.
WAITING = (JobState.PENDING, JobState.SCHEDULED, JobState.RECOVERING)


@transaction.atomic
def job_pause(*, actor: Actor, job: Job) -> Job:
    """Save a checkpoint and leave the node until it is resumed. A queued job just waits.

    Raises WrongState for a kind that cannot save its place, and for a job that has ended.
    """
    require(actor, "jobs.pause_job", job)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state in (JobState.PAUSED, JobState.PAUSING):
        return job
    _not_over(job)
    if job.state in WAITING:
        advance(job, JobState.PAUSED, allowed=ALLOWED, reason=_paused_by(actor), hold_until=None)
    elif not job_kinds.get(job.kind).pausable:
        raise WrongState(
            _(
                "Jobs of the kind %(kind)s save no checkpoints, so a running one cannot be paused."
                " Cancel it, or let it end."
            )
            % {"kind": job.kind}
        )
    else:
        advance(job, JobState.PAUSING, allowed=ALLOWED, reason=_paused_by(actor))
        send_look_on_commit(job)
    audit_record(actor=actor, action="job.paused", obj=job)
    job_announce(job)
    return job


@transaction.atomic
def job_resume(*, actor: Actor, job: Job) -> Job:
    """Back into the queue; it goes on from its last checkpoint."""
    require(actor, "jobs.pause_job", job)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state == JobState.PENDING and job.hold_until is not None:
        return _release(actor, job)
    if job.state in (JobState.PENDING, JobState.SCHEDULED, JobState.RUNNING):
        return job
    _not_over(job)
    if job.state != JobState.PAUSED:
        raise WrongState(
            _("Job %(id)s is not paused: %(state)s.")
            % {"id": job.pk, "state": job.get_state_display()}
        )
    advance(job, JobState.PENDING, allowed=ALLOWED, run_after=Now(), reason="", reason_code="")
    audit_record(actor=actor, action="job.resumed", obj=job)
    job_announce(job)
    place_on_commit()
    return job


@transaction.atomic
def job_set_priority(*, actor: Actor, job: Job, priority: int) -> Job:
    """Higher runs first. Only for work that is not over."""
    require(actor, "jobs.submit_job", job)
    check_priority(actor, job.team, priority)
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state not in OPEN:
        _not_over(job)
    old = job.priority
    Job.objects.filter(pk=job.pk).update(priority=priority)
    job.priority = priority
    changes = {"priority": {"from": old, "to": priority}}
    audit_record(actor=actor, action="job.priority_changed", obj=job, changes=changes)
    job_announce(job)
    place_on_commit()
    return job


def _release(actor: Actor, job: Job) -> Job:
    """It was held back after many nodes were lost at once: not any more."""
    Job.objects.filter(pk=job.pk).update(hold_until=None, run_after=Now())
    job.refresh_from_db()
    audit_record(actor=actor, action="job.released", obj=job)
    job_announce(job)
    place_on_commit()
    return job


def _not_over(job: Job) -> None:
    if job.state in TERMINAL:
        raise WrongState(
            _("Job %(id)s has already ended: %(state)s.")
            % {"id": job.pk, "state": job.get_state_display()},
            state=job.state,
        )


def _paused_by(actor: Actor) -> str:
    return f"Paused by {actor.label}."
