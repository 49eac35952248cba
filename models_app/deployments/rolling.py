"""One round of a roll-out: starts what is missing, gives the share, watches, and goes a step on.

Everything it knows stands in the rows, so any process may run any round, and a round that is run
twice changes nothing more. Bad figures end the roll-out in the round that sees them.
"""

import dataclasses
import datetime as dt

from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.deployments.capacity import places
from models_app.deployments.footprint import asked_of
from models_app.deployments.hopeless import why_hopeless
from models_app.deployments.judging import Figures, arm_figures, why_bad
from models_app.deployments.models import Deployment, Replica, Revision, Rollout
from models_app.deployments.planning import replicas_left
from models_app.deployments.services.course import (
    current_step,
    is_last,
    live_rollout,
    rollout_change,
    rollout_note,
    rollout_open,
    step_on,
)
from models_app.deployments.services.locking import announce, golden_soon, reconcile_soon
from models_app.deployments.services.replicas import PRIORITY, TAKES_OVER, replicas_add
from models_app.deployments.services.rollouts import (
    rollout_activate,
    rollout_fail,
    rollout_turn_back,
)
from models_app.deployments.states import (
    GOLDEN_PASSED,
    Golden,
    ReplicaState,
    RolloutState,
)
from models_app.deployments.steps import Step, parsed, without_room
from models_app.deployments.wanted import wanted_replicas
from models_app.jobs.control import job_set_priority
from models_app.jobs.states import JobState

#: A new replica that has had no place for so long finds the pool full.
NO_PLACE = dt.timedelta(seconds=12)
#: How many times its watch a step waits for enough requests to judge by.
PATIENCE = 3


def kept_replicas(deployment: Deployment, active: Revision, rollout: Rollout | None) -> int:
    """How many replicas the active revision is to have while another one comes in."""
    wanted = wanted_replicas(deployment, active)
    old = None if rollout is None else current_step(rollout).old
    return wanted if old is None else min(wanted, old)


def roll_out(
    deployment: Deployment, revision: Revision, new: list[Replica], live: list[Replica]
) -> None:
    """Under the deployment's lock. `new`: its replicas that serve or are coming; `live`: all."""
    rollout = live_rollout(deployment) or rollout_open(deployment, revision, SYSTEM)
    rollout.revision = revision
    old = [r for r in live if r.revision_id == deployment.active_revision_id]
    error = why_hopeless(rollout, revision, new, old)
    if error:
        rollout_fail(deployment, revision, error)
        return
    if rollout.golden == Golden.DIFFERENT:
        rollout_fail(deployment, revision, rollout.verdict)
        return
    figures = rollout_figures(rollout)
    bad = why_bad(figures, revision.serving) if figures else ""
    if bad and figures is not None:
        rollout_turn_back(deployment, revision, bad, figures.plain())
        return
    _make_room(deployment, rollout, new, live)
    step = current_step(rollout)
    wanted = wanted_replicas(deployment, revision)
    goal = wanted if step.new is None else min(step.new, wanted)
    if len(new) < goal:
        priority = TAKES_OVER if _drains(deployment, rollout) else PRIORITY
        replicas_add(deployment, revision, goal - len(new), priority=priority)
        announce(deployment)
    ready = sum(r.state == ReplicaState.READY for r in new)
    if ready and rollout.golden == Golden.DUE:
        golden_soon()
    _share(deployment, rollout, step, ready, goal, old)
    if ready >= goal and rollout.golden in GOLDEN_PASSED and _watched(rollout, step, figures):
        _go_on(deployment, rollout)


def _drains(deployment: Deployment, rollout: Rollout) -> bool:
    """Whether old replicas leave in this step: their places belong to the new ones."""
    active = deployment.active_revision
    if active is None:
        return False
    return kept_replicas(deployment, active, rollout) < wanted_replicas(deployment, active)


def _go_on(deployment: Deployment, rollout: Rollout) -> None:
    if is_last(rollout):
        rollout_activate(deployment, rollout.revision)
        return
    step_on(rollout)
    announce(deployment)
    reconcile_soon()


def _share(
    deployment: Deployment, rollout: Rollout, step: Step, ready: int, goal: int, old: list[Replica]
) -> None:
    """What the gateway sends to the new side now."""
    percent, mirror = rollout.percent, rollout.mirror_percent
    if rollout.golden not in GOLDEN_PASSED:
        percent, mirror = 0, 0
    elif step.by_count:
        serving = sum(r.state == ReplicaState.READY for r in old)
        percent = round(100 * ready / (ready + serving)) if ready else 0
        mirror = 0
    elif ready >= goal and not is_last(rollout):
        percent, mirror = step.percent, step.mirror
    if (percent, mirror) == (rollout.percent, rollout.mirror_percent):
        return
    rollout_change(rollout, percent=percent, mirror_percent=mirror)
    rollout_note(rollout, "share", percent=percent, mirror=mirror, ready=ready)
    announce(deployment, routes=True)


def rollout_figures(rollout: Rollout) -> Figures | None:
    """Of both sides since this step is watched; None while the new one gets nothing."""
    if not (rollout.percent or rollout.mirror_percent):
        return None
    since = rollout.watched_since
    if since is None or not current_step(rollout).bake_s:
        first = rollout.events.filter(kind="share").first()
        since = first.at if first else rollout.step_started_at
    return arm_figures(
        rollout.deployment_id,
        new=rollout.revision_id,
        old=rollout.previous_id,
        since=since,
        mirrored=bool(rollout.mirror_percent),
        judged=bool(rollout.revision.serving.judge),
    )


def _watched(rollout: Rollout, step: Step, figures: Figures | None) -> bool:
    """Whether this step, whose replicas are ready, has been watched for long enough."""
    if rollout.watched_since is None and (step.bake_s or step.person):
        rollout_change(rollout, watched_since=now())
        rollout_note(rollout, "watching", bake_s=step.bake_s, person=step.person)
    if rollout.state == RolloutState.PAUSED:
        return False
    if rollout.watched_since is None:
        return True
    waited = now() - rollout.watched_since
    if waited < dt.timedelta(seconds=step.bake_s):
        return False
    enough = not step.bake_s or (figures is not None and figures.enough)
    if not enough and waited < PATIENCE * dt.timedelta(seconds=step.bake_s):
        _once(rollout, "few_requests", figures)
        return False
    if step.person:
        _once(rollout, "asks_person", figures)
        return False
    data = figures.plain() if figures else {}
    rollout_note(rollout, "passed" if enough else "unjudged", **data)
    return True


def _once(rollout: Rollout, kind: str, figures: Figures | None) -> None:
    """A line that one step has once."""
    if not rollout.events.filter(kind=kind, at__gte=rollout.watched_since).exists():
        rollout_note(rollout, kind, **(figures.plain() if figures else {}))
        announce(rollout.deployment)


def _make_room(
    deployment: Deployment, rollout: Rollout, new: list[Replica], live: list[Replica]
) -> None:
    """The pool filled up since the plan was made: old replicas leave for those that wait.

    Only where that helps, and where the settings let the console decide.
    """
    if rollout.revision.serving.capacity != "auto" or replicas_left(live):
        return
    waiting = [r for r in new if _has_no_place(r)]
    old = [r for r in live if r.revision_id == deployment.active_revision_id]
    if not waiting or not old:
        return
    revision = rollout.revision
    asked = asked_of(revision.serving, revision.model_version)
    found = places(deployment, asked, wanted=len(waiting), old=old)
    if found.free or found.swappable < len(waiting):
        return
    steps, at = parsed(rollout.plan), min(rollout.step, len(rollout.plan) - 1)
    wanted = wanted_replicas(deployment, rollout.revision)
    rest = without_room(steps[at], wanted=wanted, old=len(old), placed=len(new) - len(waiting))
    if [dataclasses.replace(s, person=False) for s in rest] == steps[at:]:
        return
    rollout_change(rollout, plan=[s.plain() for s in [*steps[:at], *rest]])
    for replica in waiting:
        if replica.job is not None:
            job_set_priority(actor=SYSTEM, job=replica.job, priority=TAKES_OVER)
    rollout_note(rollout, "replanned", waiting=len(waiting), pool=found.pool)
    reconcile_soon()


def _has_no_place(replica: Replica) -> bool:
    job = replica.job
    return job is not None and job.state == JobState.PENDING and now() - job.created_at > NO_PLACE
