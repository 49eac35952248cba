"""Roll-outs driven round by round: time passes by moving rows back, requests by their records."""

import datetime as dt

from django.db.models import F

from models_app.core.clock import now
from models_app.deployments.models import Replica, RequestRecord, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.states import ReplicaState
from models_app.jobs import attempts, claims
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.states import JobState
from tests.factories.deployments import live, make_ready


def arms(deployment) -> dict[int, tuple[int, int]]:
    """Revision number -> (share, replicas that answer), as the gateway reads them."""
    for route in route_table():
        if route["deployment_id"] == deployment.pk:
            return {arm["number"]: (arm["percent"], len(arm["replicas"])) for arm in route["arms"]}
    return {}


def drain(deployment) -> None:
    """What has been told to leave has left: the gateway knew, the server has ended."""
    rows = Replica.objects.filter(revision__deployment=deployment, state=ReplicaState.DRAINING)
    rows.update(drain_started_at=now() - dt.timedelta(seconds=10))
    reconcile_deployment(deployment.pk)
    for job in Job.objects.filter(replica__revision__deployment=deployment):
        if job.state == JobState.CANCELING:
            attempts.job_stopped(job=job, attempt={})
    reconcile_deployment(deployment.pk)


def start(deployment, count: int = 99, node: str = "node-1") -> int:
    """Let waiting replicas get ready; returns how many."""
    waiting = [r for r in live(deployment) if r.state == ReplicaState.PENDING][:count]
    for replica in waiting:
        make_ready(replica, node=node)
    reconcile_deployment(deployment.pk)
    return len(waiting)


def start_placed(deployment, port=lambda replica, epoch: 20000 + replica.pk) -> int:
    """The same with real placement: only what got a place gets ready, at `port`."""
    place_jobs()
    started = 0
    for replica in live(deployment):
        job = replica.job
        if replica.state == ReplicaState.PENDING and job.state == JobState.SCHEDULED:
            worker = f"{job.node_name}:1"
            claimed = claims.job_claim(worker=worker, node=job.node_name, job_id=job.pk)
            data = {"host": "127.0.0.1", "port": port(replica, claimed.epoch)}
            attempts.job_ready(job=claimed, data=data)
            started += 1
    reconcile_deployment(deployment.pk)
    return started


def later(deployment, seconds: float) -> None:
    """So much time passes for the roll-out under way, and a round is run."""
    gap = dt.timedelta(seconds=seconds)
    rows = Rollout.objects.filter(deployment=deployment, ended_at=None)
    rows.update(step_started_at=F("step_started_at") - gap, watched_since=F("watched_since") - gap)
    reconcile_deployment(deployment.pk)


def calls(deployment, number: int, count: int, *, failed=0, first_token_ms=50.0, **fields) -> None:
    """Records of calls that revision `number` answered just now, `failed` of them with 502."""
    revision = deployment.revisions.get(number=number)
    RequestRecord.objects.bulk_create(
        RequestRecord(
            request_id=f"r{number}-{place}",
            at=now(),
            deployment=deployment,
            revision=revision,
            endpoint="completions",
            status=502 if place < failed else 200,
            outcome="" if place < failed else "stop",
            first_token_ms=None if place < failed else first_token_ms,
            total_ms=first_token_ms,
            **fields,
        )
        for place in range(count)
    )
