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
from models_app.deployments.holding import keep_held
from models_app.deployments.hopeless import BROKEN, ROLLOUT_LIMIT
from models_app.deployments.models import Deployment, Replica, Revision, Rollout
from models_app.deployments.observation import by_place, by_revision, live_replicas, unsettled
from models_app.deployments.rolling import kept_replicas, roll_out
from models_app.deployments.services.course import live_rollout
from models_app.deployments.services.in_place import roll_out_in_place
from models_app.deployments.services.locking import announce, deployment_locked
from models_app.deployments.services.replicas import (
    PRIORITY,
    TAKES_OVER,
    replica_cancel,
    replica_drain,
    replica_stopped,
    replicas_add,
)
from models_app.deployments.states import ReplicaState, RevisionState, RolloutState
from models_app.deployments.watching import watch_active
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL
from models_app.registry.states import VersionState

logger = logging.getLogger(__name__)

#: The gateway knows of a change within a second; only then is a drained server told to stop.
DRAIN_NOTICE = dt.timedelta(seconds=2)
#: How far back failed replicas make the next one wait.
FAILURE_MEMORY = dt.timedelta(minutes=15)


def reconcile_all() -> int:
    """One round over all deployments that may need something; returns how many were looked at."""
    approvals_expire()
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
    keep_held(deployment, live, _too_soon)
    # Jobs first, replicas after: workers take these locks in the same order.
    for revision, replicas in by_revision(live).items():
        wanted = _wanted(deployment, revision)
        # Nobody takes over from a replica that is only kept warm: it just leaves.
        warm = revision.state not in (RevisionState.ACTIVE, RevisionState.ROLLING_OUT)
        leaving = by_place(replicas)[1] if warm else []
        _finish(
            [r for r in replicas if not wanted or r.state == ReplicaState.DRAINING or r in leaving]
        )
    if live_rollout(deployment) is None:
        watch_active(deployment, live)
    moving = deployment.revisions.filter(
        state__in=(RevisionState.ROLLING_OUT, RevisionState.ACTIVE)
    ).select_related("model_version__model", "config_revision__config", "approval")
    # The one that comes in has its turn first: it may end in it, or become the active one.
    for revision in moving.order_by("-state", "-number"):
        revision.deployment = deployment
        replicas = [r for r in live if r.revision_id == revision.pk and _counts(r)]
        staying, leaving = by_place(replicas)
        if revision.state == RevisionState.ROLLING_OUT:
            if not roll_out_in_place(deployment, revision, live):
                roll_out(deployment, revision, staying, live)
            elif deployment.active_revision_id == revision.pk:
                return True  # whose replicas are whose has changed: the next round looks anew
        elif revision.pk == deployment.active_revision_id and _wanted(deployment, revision):
            # Read after the new one has had its turn: it may have ended in this round.
            rollout = live_rollout(deployment)
            number = kept_replicas(deployment, revision, rollout)
            _keep_up(deployment, revision, staying, number)
            if sum(r.state == ReplicaState.READY for r in staying) >= number:
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
    """More than wanted: the ones that are least far go."""
    order = sorted(replicas, key=lambda r: (r.state != ReplicaState.READY, r.pk))
    surplus = order[wanted:]
    _finish(surplus)


def _keep_up(
    deployment: Deployment, revision: Revision, replicas: list[Replica], wanted: int
) -> None:
    """The active revision has the replicas it wants; failed ones are replaced, not too eagerly."""
    missing = wanted - len(replicas)
    if missing < 0:
        _trim(deployment, replicas, wanted)
    elif missing and not _too_soon(revision):
        replicas_add(deployment, revision, missing, priority=_priority(deployment))
        announce(deployment)


def _priority(deployment: Deployment) -> int:
    """What a roll-out took from the old replicas comes back to them before all others."""
    recent = Rollout.objects.filter(
        deployment=deployment, ended_at__gt=now() - ROLLOUT_LIMIT
    ).exclude(state=RolloutState.SUCCEEDED)
    return TAKES_OVER if recent.exists() else PRIORITY


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
