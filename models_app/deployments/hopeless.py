"""Why a roll-out will not come to an end."""

import datetime as dt

from django.utils.translation import gettext as _

from models_app.core.clock import now
from models_app.deployments.models import Replica, Revision, Rollout
from models_app.deployments.services.course import current_step
from models_app.deployments.states import ReplicaState, RolloutState
from models_app.deployments.wanted import wanted_replicas
from models_app.jobs.logs import log_tail
from models_app.jobs.models import Job
from models_app.jobs.states import JobState
from models_app.jobs.waiting import why_waiting

#: All replicas of a step must be ready within this time.
ROLLOUT_LIMIT = dt.timedelta(minutes=20)
#: Where old replicas have left for new ones, those must have found a place within this time.
PLACE_LIMIT = dt.timedelta(seconds=90)
#: So many attempts in a row without getting ready are no accident.
HOPELESS_ATTEMPTS = 3
BROKEN = (JobState.FAILED, JobState.TIMED_OUT)


def why_hopeless(
    rollout: Rollout, revision: Revision, new: list[Replica], old: list[Replica]
) -> str:
    """With what its job said; empty while it may come to an end."""
    started = revision.rollout_started_at or revision.created_at
    broken = Job.objects.filter(
        replica__revision=revision, state__in=BROKEN, finished_at__gte=started
    ).first()
    if broken is not None:
        return f"A replica failed: {broken.reason}{_last_words(broken)}"
    for replica in new:
        job = replica.job
        if job is not None and job.barren_attempts >= HOPELESS_ATTEMPTS:
            return (
                f"A replica did not get ready in {job.barren_attempts} attempts:"
                f" {job.reason}{_last_words(job)}"
            )
    if rollout.watched_since is None and rollout.state == RolloutState.RUNNING:
        return _why_late(rollout, revision, new, old)
    return ""


def _why_late(rollout: Rollout, revision: Revision, new: list[Replica], old: list[Replica]) -> str:
    step, waited = current_step(rollout), now() - rollout.step_started_at
    jobs = [r.job for r in new if r.job is not None]
    pending = [job for job in jobs if job.state == JobState.PENDING]
    why = " ".join(dict.fromkeys(filter(None, (why_waiting(job=job) for job in pending))))
    drained = step.old is not None and len(old) <= step.old
    if drained and pending and waited > PLACE_LIMIT:
        said = _("The place that was made for a new replica was not given to it. %(why)s")
        return said % {"why": why}
    if waited <= ROLLOUT_LIMIT:
        return ""
    ready = sum(r.state == ReplicaState.READY for r in new)
    wanted = wanted_replicas(revision.deployment, revision)
    goal = wanted if step.new is None else min(step.new, wanted)
    minutes = int(ROLLOUT_LIMIT.total_seconds() // 60)
    return f"Only {ready} of {goal} replicas were ready after {minutes} minutes. {why}".strip()


def _last_words(job: Job) -> str:
    """The end of the job's log, for the person who has to find out why."""
    lines = [line.text for line in log_tail(job=job, count=15)]
    attempt = job.attempts.order_by("-epoch").first()
    if not lines and attempt is not None and attempt.tail:
        lines = attempt.tail.splitlines()[-15:]
    return "\n\n" + "\n".join(lines) if lines else ""
