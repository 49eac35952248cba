"""Whether the replicas of a revision find room beside those that serve, asked of the pool."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models_app.configs.specs import ServingSpec
from models_app.deployments.models import Deployment, Replica
from models_app.deployments.splitting import split_resources
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.placement import choose
from models_app.jobs.resources import Ask, resources_fields, resources_parse
from models_app.jobs.room import Room
from models_app.jobs.states import PLACED
from models_app.pools.services.pools import pool_for


@dataclass(frozen=True, kw_only=True)
class Places:
    """How many new replicas find a place now, and whether more would if old ones left."""

    pool: str
    free: int
    #: New replicas that fit where old ones stand, one for each that leaves.
    swappable: int


def asked_of(serving: ServingSpec) -> dict[str, Any]:
    """What the job of a replica asks for, as `job_submit` takes it."""
    split = split_resources(serving)
    return {"pool": serving.pool, **({"resources": split} if split else {})}


def serve_job(deployment: Deployment, asked: dict[str, Any]) -> Job:
    """A job like those of the replicas, unsaved. `asked`: `asked_of`."""
    kind = job_kinds.get("serve")
    pool = pool_for(team=deployment.team, name=asked.get("pool", ""))
    resources = resources_parse(asked.get("resources"))
    fields = resources_fields(asked=resources, pool=pool, wanted_gpus=kind.gpus(None))
    return Job(kind="serve", team=deployment.team, pool=pool, nodes=1, **fields)


def places(
    deployment: Deployment,
    asked: dict[str, Any],
    *,
    wanted: int,
    old: list[Replica],
    leaving: Iterable[Replica] = (),
) -> Places:
    """Of a pool as it is now, without those that are `leaving`; `wanted` bounds the search."""
    job, room = serve_job(deployment, asked), Room()
    for replica in leaving:
        _gone(replica, room)
    free = _taken(job, room, wanted)
    swappable = 0
    for replica in old:
        if free + swappable < wanted:
            _gone(replica, room)
            swappable += _taken(job, room, 1)
    return Places(pool=job.pool.name, free=free, swappable=swappable)


def _gone(replica: Replica, room: Room) -> None:
    job = replica.job
    if job is not None and job.state in PLACED and job.node_name in room.free:
        room.free[job.node_name].take(Ask.of(job), -1)
        room.limits[job.pool_id].take(Ask.of(job), -1)


def _taken(job: Job, room: Room, most: int) -> int:
    for number in range(most):
        nodes = choose(job, room)
        if not nodes:
            return number
        room.take(job, nodes[0])
    return most
