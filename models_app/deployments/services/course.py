"""The row of a roll-out and its timeline: opened, noted in, moved and closed.

Everything here runs under the deployment's lock, inside the service that it belongs to.
"""

from typing import Any

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.states import advance
from models_app.deployments.models import Deployment, Revision, Rollout, RolloutEvent
from models_app.deployments.states import ROLLOUT_ALLOWED, ROLLOUT_LIVE, RevisionState, RolloutState

#: How a roll-out ends that leaves its revision in this state.
ENDS = {
    RevisionState.WITHDRAWN: RolloutState.ABORTED,
    RevisionState.FAILED: RolloutState.FAILED,
    RevisionState.STALE: RolloutState.FAILED,
    RevisionState.REJECTED: RolloutState.ABORTED,
}


def live_rollout(deployment: Deployment) -> Rollout | None:
    """The roll-out that is under way, paused ones too."""
    rows = Rollout.objects.filter(deployment=deployment, state__in=ROLLOUT_LIVE)
    row = rows.select_related("revision", "previous").first()
    if row is not None:
        row.deployment = deployment
    return row


def rollout_open(
    deployment: Deployment, revision: Revision, actor: Actor, **fields: Any
) -> Rollout:
    """The row of a roll-out that begins now."""
    previous = deployment.active_revision
    back = previous is not None and revision.activated_at is not None
    row = Rollout.objects.create(
        deployment=deployment,
        revision=revision,
        previous=previous,
        back=back,
        started_by_id=actor.pk,
        **{"strategy": "blue_green" if back else revision.serving.strategy, **fields},
    )
    said = {"by": actor.label, "strategy": row.strategy, "revision": revision.number}
    rollout_note(row, "started", **said, **({"before": previous.number} if previous else {}))
    return row


def rollout_note(rollout: Rollout, kind: str, **data: Any) -> RolloutEvent:
    """One more line of the timeline; its words are made where it is shown."""
    return RolloutEvent.objects.create(rollout=rollout, kind=kind, data=data)


def rollout_change(rollout: Rollout, **fields: Any) -> None:
    """Set columns of the row."""
    Rollout.objects.filter(pk=rollout.pk).update(**fields)
    for name, value in fields.items():
        setattr(rollout, name, value)


def rollout_close(deployment: Deployment, state: str, verdict: str = "", **data: Any) -> None:
    """It is over: no share is given any more. Nothing happens where none is under way."""
    row = live_rollout(deployment)
    if row is None:
        return
    advance(
        row,
        state,
        allowed=ROLLOUT_ALLOWED,
        verdict=verdict,
        percent=0,
        mirror_percent=0,
        ended_at=now(),
    )
    rollout_note(row, str(state), **({"why": verdict} if verdict else {}), **data)
