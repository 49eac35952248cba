"""Brings every deployment nearer to what it should be. Any process may run it at any time.

One round looks at the rows, does the few things that are missing and ends; what takes time (a
model that loads, a server that drains) is seen by a later round. Two rounds at once are harmless:
the second skips a deployment whose lock is taken.
"""

import datetime as dt
import logging

from django.db import transaction

from models_app.approvals.services import approvals_expire
from models_app.core.clock import now
from models_app.deployments.leaving import surplus
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.observation import by_place, by_revision, live_replicas, unsettled
from models_app.deployments.services.locking import announce, deployment_locked
from models_app.deployments.services.replicas import (
    replica_cancel,
    replica_drain,
    replica_stopped,
    replicas_add,
)
from models_app.deployments.services.rollouts import rollout_activate, rollout_fail
from models_app.deployments.services.scaling import scaling_round
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.deployments.wanted import wanted_replicas
from models_app.jobs.logs import log_tail
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL, JobState
from models_app.jobs.waiting import why_waiting
from models_app.registry.states import VersionState

logger = logging.getLogger(__name__)

#: All replicas of a new revision must be ready within this time.
ROLLOUT_LIMIT = dt.timedelta(minutes=20)
#: So many attempts in a row without getting ready are no accident.
HOPELESS_ATTEMPTS = 3
#: The gateway knows of a change within a second; only then is a drained server told to stop.
DRAIN_NOTICE = dt.timedelta(seconds=2)
#: How far back failed replicas make the next one wait.
FAILURE_MEMORY = dt.timedelta(minutes=15)
BROKEN = (JobState.FAILED, JobState.TIMED_OUT)


def reconcile_all() -> int:
    """One round over all deployments that may need something; returns how many were looked at."""
    approvals_expire()
    scaling_round()
    ids = list(unsettled().order_by("pk").values_list("pk", flat=True))
    return sum(_guarded(pk) for pk in ids)


def _guarded(pk: int) -> bool:
    """One broken deployment must not keep the others from being looked after."""
    try:
        return reconcile_deployment(pk)
    except Exception:
        logger.exception("deployment %s could not be reconciled", pk)
        return False


@transaction.atomic
def reconcile_deployment(pk: int) -> bool:
    """One round for one deployment. False: somebody else is at it, or it is gone."""
    deployment = deployment_locked(pk, skip=True)
    if deployment is None:
        return False
    live = live_replicas(deployment)
    _collect_ended(live)
    # Jobs first, replicas after: workers take these locks in the same order.
    for revision, replicas in by_revision(live).items():
        wanted = _wanted(deployment, revision)
        # Nobody takes over from a replica that is only kept warm: it just leaves.
        warm = revision.state not in (RevisionState.ACTIVE, RevisionState.ROLLING_OUT)
        leaving = by_place(replicas)[1] if warm else []
        _finish(
            [r for r in replicas if not wanted or r.state == ReplicaState.DRAINING or r in leaving]
        )
    for revision in deployment.revisions.filter(
        state__in=(RevisionState.ROLLING_OUT, RevisionState.ACTIVE)
    ).select_related("model_version__model", "config_revision__config", "approval"):
        revision.deployment = deployment
        replicas = [r for r in live if r.revision_id == revision.pk and _counts(r)]
        staying, leaving = by_place(replicas)
        if revision.state == RevisionState.ROLLING_OUT:
            _roll_out(deployment, revision, staying)
        elif revision.pk == deployment.active_revision_id and _wanted(deployment, revision):
            _keep_up(deployment, revision, staying)
            ready = sum(r.state == ReplicaState.READY for r in staying)
            if ready >= wanted_replicas(deployment, revision):
                _finish(leaving)
    return True


def _counts(replica: Replica) -> bool:
    """Whether it serves or is on its way to serve."""
    return replica.state not in (ReplicaState.DRAINING, ReplicaState.STOPPED)


def _collect_ended(live: list[Replica]) -> None:
    for replica in live:
        if replica.job is None or replica.job.state in TERMINAL:
            replica_stopped(replica)


def _wanted(deployment: Deployment, revision: Revision) -> bool:
    """Whether replicas of this revision are to live: it serves, is coming in, or is kept warm."""
    if deployment.stopped_at:
        return False
    if revision.state == RevisionState.ROLLING_OUT:
        return True
    if revision.model_version.state == VersionState.QUARANTINED:
        # It may stand as the active one until another takes over, but never serve.
        return False
    if revision.state == RevisionState.ACTIVE:
        return True
    return revision.keep_until is not None and revision.keep_until > now()


def _finish(replicas: list[Replica]) -> None:
    """Drain what is ready, cancel what is not, and cancel what has been drained long enough."""
    at = now()
    for replica in replicas:
        drained = replica.drain_started_at is not None and at - replica.drain_started_at
        if replica.state == ReplicaState.DRAINING:
            if drained and drained >= DRAIN_NOTICE:
                replica_cancel(replica)
        elif replica.state != ReplicaState.READY:
            replica_cancel(replica)
    for replica in replicas:
        if replica.state == ReplicaState.READY:
            replica_drain(replica)
            announce(replica.revision.deployment, routes=True)


def _trim(deployment: Deployment, replicas: list[Replica], wanted: int) -> None:
    """More than wanted: those go that are missed least."""
    _finish(surplus(deployment, replicas, wanted))


def _roll_out(deployment: Deployment, revision: Revision, replicas: list[Replica]) -> None:
    error = _why_hopeless(revision, replicas)
    if error:
        rollout_fail(deployment, revision, error)
        return
    ready = [r for r in replicas if r.state == ReplicaState.READY]
    wanted = wanted_replicas(deployment, revision)
    if len(ready) >= wanted:
        rollout_activate(deployment, revision)
        return
    if len(replicas) < wanted:
        replicas_add(deployment, revision, wanted - len(replicas))
        announce(deployment)


def _keep_up(deployment: Deployment, revision: Revision, replicas: list[Replica]) -> None:
    """The active revision has the replicas it wants; failed ones are replaced, not too eagerly."""
    wanted = wanted_replicas(deployment, revision)
    missing = wanted - len(replicas)
    if missing < 0:
        _trim(deployment, replicas, wanted)
    elif missing and not _too_soon(revision):
        replicas_add(deployment, revision, missing)
        announce(deployment)


def _too_soon(revision: Revision) -> bool:
    ends = list(
        Job.objects.filter(
            replica__revision=revision, state__in=BROKEN, finished_at__gt=now() - FAILURE_MEMORY
        ).values_list("finished_at", flat=True)
    )
    if not ends:
        return False
    wait = dt.timedelta(seconds=min(300, 5 * 2 ** len(ends)))
    return max(end for end in ends if end) + wait > now()


def _why_hopeless(revision: Revision, replicas: list[Replica]) -> str:
    """Why this roll-out will not come to an end, with what its job said; empty while it may."""
    started = revision.rollout_started_at or revision.created_at
    broken = Job.objects.filter(
        replica__revision=revision, state__in=BROKEN, finished_at__gte=started
    ).first()
    if broken is not None:
        return f"A replica failed: {broken.reason}{_last_words(broken)}"
    for replica in replicas:
        job = replica.job
        if job is not None and job.barren_attempts >= HOPELESS_ATTEMPTS:
            return (
                f"A replica did not get ready in {job.barren_attempts} attempts:"
                f" {job.reason}{_last_words(job)}"
            )
    if now() - started > ROLLOUT_LIMIT:
        return _why_late(revision, replicas)
    return ""


def _why_late(revision: Revision, replicas: list[Replica]) -> str:
    ready = sum(r.state == ReplicaState.READY for r in replicas)
    minutes = int(ROLLOUT_LIMIT.total_seconds() // 60)
    wanted = wanted_replicas(revision.deployment, revision)
    text = f"Only {ready} of {wanted} replicas were ready after {minutes} minutes."
    waiting = [why_waiting(job=r.job) for r in replicas if r.job is not None]
    return " ".join([text, *dict.fromkeys(filter(None, waiting))])


def _last_words(job: Job) -> str:
    """The end of the job's log, for the person who has to find out why."""
    lines = [line.text for line in log_tail(job=job, count=15)]
    attempt = job.attempts.order_by("-epoch").first()
    if not lines and attempt is not None and attempt.tail:
        lines = attempt.tail.splitlines()[-15:]
    return "\n\n" + "\n".join(lines) if lines else ""
