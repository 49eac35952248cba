"""How a revision gets into service: strategy, room beside what serves, and the steps of both."""

from dataclasses import dataclass, field
from typing import Any

from models_app.configs.specs import ServingSpec
from models_app.deployments.capacity import Places, asked_of, places
from models_app.deployments.models import Deployment, Replica, Revision
from models_app.deployments.observation import live_replicas
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.deployments.steps import Step, steps_for

GONE = (ReplicaState.DRAINING, ReplicaState.STOPPED)
#: Nobody asks them: they only stay loaded for a way back.
FORMER = (RevisionState.SUPERSEDED, RevisionState.ROLLED_BACK, RevisionState.FAILED)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The steps, and what they were decided by."""

    strategy: str
    steps: list[Step]
    #: Replicas that the new revision wants, and those that serve now.
    wanted: int
    old: int
    #: How many of the wanted ones fit beside the old ones.
    free: int
    places: Places
    #: `surge`, `drain_first`, or `short` where even then there is not room for all.
    room: str
    #: Revisions whose warm replicas have to make room.
    releases: list[Revision] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """For the row of the roll-out."""
        return [step.plain() for step in self.steps]


def plan_rollout(
    deployment: Deployment,
    serving: ServingSpec,
    *,
    strategy: str,
    wanted: int,
    revision: Revision | None = None,
) -> Planned:
    """Asks the pool as it is now. `revision` is the one that comes in, once it exists."""
    live = [r for r in live_replicas(deployment) if r.state not in GONE] if deployment.pk else []
    active = deployment.active_revision_id
    own = [r for r in live if revision is not None and r.revision_id == revision.pk]
    old = [r for r in live if r.revision_id == active and r not in own]
    warm = [r for r in live if r not in own and r not in old and r.revision.state in FORMER]
    lacking = max(0, wanted - len(own))
    asked = asked_of(serving)
    found = places(deployment, asked, wanted=lacking, old=old)
    releases: list[Revision] = []
    if found.free < lacking and warm and strategy != "all_at_once":
        with_warm = places(deployment, asked, wanted=lacking, old=old, leaving=warm)
        if with_warm.free > found.free:
            found, releases = with_warm, list({r.revision for r in warm})
    room, free = _room(serving.capacity, found, lacking)
    steps = steps_for(serving, strategy=strategy, wanted=wanted, old=len(old), free=len(own) + free)
    return Planned(
        strategy=strategy,
        steps=steps,
        wanted=wanted,
        old=len(old),
        free=len(own) + found.free,
        places=found,
        room=room,
        releases=releases,
    )


def _room(capacity: str, found: Places, lacking: int) -> tuple[str, int]:
    """The way that is taken, and how many new replicas may count on a place beside the old ones.

    Where even drained old ones leave too little room, nothing is drained: it waits for room.
    """
    if capacity == "drain_first":
        return "drain_first", 0
    if capacity == "surge" or found.free >= lacking:
        return ("surge" if found.free >= lacking else "short"), lacking
    if found.free + found.swappable >= lacking:
        return "drain_first", found.free
    return "short", lacking


def replicas_left(replicas: list[Replica]) -> int:
    """How many still hold a place on their way out."""
    return sum(r.state == ReplicaState.DRAINING for r in replicas)
