"""The row of a roll-out and its timeline: opened, noted in, moved and closed.

Everything here runs under the deployment's lock, inside the service that it belongs to.
"""

import dataclasses
from typing import Any

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.states import advance
from models_app.deployments.digest import differs_in_adapters, differs_in_replicas
from models_app.deployments.models import Deployment, Revision, Rollout, RolloutEvent
from models_app.deployments.planning import plan_rollout
from models_app.deployments.services.locking import announce
from models_app.deployments.states import (
    ROLLOUT_ALLOWED,
    ROLLOUT_LIVE,
    Golden,
    RevisionState,
    RolloutState,
)
from models_app.deployments.steps import WATCHED, Step, parsed, unasked
from models_app.deployments.wanted import wanted_replicas

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
    deployment: Deployment, revision: Revision, actor: Actor, *, automatic: str = ""
) -> Rollout:
    """The row of a roll-out that begins now, planned by the room that there is.

    A revision that has served before goes back in one switch, proved by its stored answers;
    `automatic` says why the console itself goes back to it.
    """
    rollout_close(deployment, RolloutState.ABORTED)
    previous = deployment.active_revision
    back = previous is not None and revision.activated_at is not None
    serving = revision.serving
    # The same model in other numbers: there is nothing to compare, and nobody is asked.
    alike = previous is not None and differs_in_replicas(previous, revision)
    at_once = back or (alike and serving.strategy in WATCHED)
    planned = plan_rollout(
        deployment,
        serving,
        strategy="blue_green" if at_once else serving.strategy,
        wanted=wanted_replicas(deployment, revision),
        revision=revision,
    )
    if previous is not None and differs_in_adapters(previous, revision):
        # Replicas that run take it over: nothing is started, and nothing is shared.
        planned = dataclasses.replace(
            planned, strategy="in_place", steps=[Step(kind="adapters")], releases=[]
        )
    proved = back and revision.golden_answers.exists()
    steps = planned.steps
    if back or alike:
        # Nobody waits for a promotion on the way back, nor of what answers already.
        steps = unasked(steps)
    row = Rollout.objects.create(
        deployment=deployment,
        revision=revision,
        previous=previous,
        back=back,
        started_by_id=actor.pk,
        strategy=planned.strategy,
        plan=[step.plain() for step in steps],
        golden=Golden.DUE if proved else Golden.NONE,
    )
    said: dict[str, Any] = {"by": actor.label, "strategy": row.strategy, "steps": len(steps)}
    if previous:
        said |= {"before": previous.number, "room": planned.room, "free": planned.free}
        said |= {"wanted": planned.wanted, "old": planned.old}
    rollout_note(row, "automatic" if automatic else "started", revision=revision.number, **said,
                 **({"why": automatic} if automatic else {}))  # fmt: skip
    _release(row, planned.releases)
    return row


def _release(row: Rollout, revisions: list[Revision]) -> None:
    """Warm replicas that stand where the new ones have to."""
    for revision in revisions:
        Revision.objects.filter(pk=revision.pk).update(keep_until=None)
        rollout_note(row, "released", revision=revision.number)


def current_step(rollout: Rollout) -> Step:
    """Where it stands."""
    steps = parsed(rollout.plan)
    return steps[min(rollout.step, len(steps) - 1)]


def is_last(rollout: Rollout) -> bool:
    """Whether the step that it stands at ends with the switch."""
    return rollout.step >= len(rollout.plan) - 1


def step_on(rollout: Rollout) -> None:
    """The next step begins."""
    rollout_change(rollout, step=rollout.step + 1, step_started_at=now(), watched_since=None)
    step = current_step(rollout)
    said = {name: value for name, value in step.plain().items() if value and name != "kind"}
    rollout_note(
        rollout, "step", number=rollout.step + 1, of=len(rollout.plan), does=step.kind, **said
    )


def rollout_note(rollout: Rollout, kind: str, **data: Any) -> RolloutEvent:
    """One more line of the timeline; its words are made where it is shown, which is told of it."""
    announce(rollout.deployment)
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
