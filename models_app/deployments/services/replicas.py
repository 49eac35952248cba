"""Replicas: one model server each, which is one serve job; and what those jobs report."""

import logging
from typing import Any

from django.db import transaction

from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.errors import StaleEpoch, WrongState
from models_app.core.states import advance
from models_app.deployments.capacity import asked_of
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.services.locking import announce, reconcile_soon
from models_app.deployments.states import REPLICA_ALLOWED, ReplicaState
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel, job_submit
from models_app.jobs.states import TERMINAL, JobState

logger = logging.getLogger(__name__)

#: Replicas come before other work of their queue: people wait for them.
PRIORITY = 50
#: A replica that takes the place of one that leaves for it comes before everything: the place is
#: the deployment's, and its requests are held meanwhile.
TAKES_OVER = 100


def replicas_add(
    deployment: Deployment, revision: Revision, count: int, *, priority: int = PRIORITY
) -> None:
    """Under the deployment's lock: submit `count` more serve jobs, each with its replica."""
    asked = asked_of(revision.serving)
    for _ in range(count):
        replica = Replica.objects.create(revision=revision)
        job = job_submit(
            actor=SYSTEM,
            team=deployment.team,
            kind="serve",
            params={"replica": replica.pk, "revision": revision.pk},
            title=f"Serve {deployment.team.slug}/{deployment.name} r{revision.number}",
            priority=priority,
            **asked,
        )
        Replica.objects.filter(pk=replica.pk).update(job=job)


def replica_drain(replica: Replica) -> bool:
    """Take a ready replica out of the routes; its job goes on until the gateway knows."""
    return _move(replica, ReplicaState.DRAINING, drain_started_at=now())


def replica_cancel(replica: Replica) -> None:
    """End its job. A running server lets running answers finish first."""
    job = replica.job
    if job is not None and job.state not in TERMINAL and job.state != JobState.CANCELING:
        try:
            # The job's row before the replica's, as workers lock them.
            with transaction.atomic():
                job_cancel(actor=SYSTEM, job=job)
        except WrongState:
            logger.info("job %s of replica %s had just ended", job.pk, replica.pk)
    replica.refresh_from_db(fields=["state"])
    if replica.state not in (ReplicaState.DRAINING, ReplicaState.STOPPED):
        _move(replica, ReplicaState.DRAINING, drain_started_at=now())


def replica_stopped(replica: Replica) -> bool:
    """Its job is over, whichever way."""
    return _move(replica, ReplicaState.STOPPED)


def replica_loading(*, replica_id: int, job: Job) -> None:
    """A worker has claimed the job and loads the model."""
    with transaction.atomic():
        replica = _locked(replica_id)
        if job.epoch < replica.epoch:
            raise StaleEpoch
        if replica.state in (ReplicaState.PENDING, ReplicaState.CRASHED):
            _move(replica, ReplicaState.LOADING)
        Replica.objects.filter(pk=replica_id).update(
            epoch=job.epoch, restarts=job.epoch - 1, host="", port=None, ready_at=None, adapters={}
        )
        announce(replica.revision.deployment)


def replica_ready(*, replica_id: int, job: Job, data: dict[str, Any]) -> None:
    """The server has produced a real token and listens. Runs in the worker's transaction."""
    replica = _locked(replica_id)
    if replica.state in (ReplicaState.PENDING, ReplicaState.CRASHED):
        _move(replica, ReplicaState.LOADING)
    if replica.state == ReplicaState.LOADING:
        _move(
            replica,
            ReplicaState.READY,
            host=str(data["host"]),
            port=int(data["port"]),
            epoch=job.epoch,
            ready_at=now(),
        )
    announce(replica.revision.deployment, routes=True)
    reconcile_soon()


def replica_reported(*, replica_id: int, job: Job, data: dict[str, Any]) -> None:
    """The server has loaded or unloaded adapters. Runs in the worker's transaction."""
    replica = _locked(replica_id)
    if job.epoch != replica.epoch:
        return
    kept = {name: data.get(name) or {} for name in ("loaded", "failed")}
    if kept != replica.adapters:
        Replica.objects.filter(pk=replica_id).update(adapters=kept)
        announce(replica.revision.deployment, routes=True)
        reconcile_soon()


def replica_ended(*, replica_id: int, job: Job) -> None:
    """The attempt is over: the job goes on (crashed) or has ended (stopped)."""
    replica = _locked(replica_id)
    if job.state in TERMINAL:
        if replica.state != ReplicaState.STOPPED:
            _move(replica, ReplicaState.STOPPED)
    elif replica.state in (ReplicaState.READY, ReplicaState.LOADING, ReplicaState.PENDING):
        _move(replica, ReplicaState.CRASHED)
    announce(replica.revision.deployment, routes=True)
    reconcile_soon()


def _locked(replica_id: int) -> Replica:
    rows = Replica.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("revision__deployment").get(pk=replica_id)


def _move(replica: Replica, state: str, **changes: Any) -> bool:
    """False: a worker moved it in the meantime; the next round looks again."""
    try:
        advance(replica, state, allowed=REPLICA_ALLOWED, **changes)
    except WrongState:
        return False
    return True
