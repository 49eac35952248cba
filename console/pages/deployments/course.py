"""What pages show of a roll-out: its steps, its share, its timeline, and what may be done."""

from typing import Any

from django.utils.translation import gettext as _

from console.access.models import User
from console.pages.jobs.reasons import said
from models_app.configs.specs import ServingSpec
from models_app.configs.specs.base import value_words
from models_app.deployments import selectors
from models_app.deployments.judging import Figures
from models_app.deployments.models import Deployment, Replica, Rollout, RolloutEvent
from models_app.deployments.preview import step_text
from models_app.deployments.rolling import rollout_figures
from models_app.deployments.services.course import current_step
from models_app.deployments.services.in_place import in_place_ready
from models_app.deployments.states import Golden, ReplicaState, RolloutState
from models_app.deployments.steps import Step, parsed
from models_app.deployments.timeline import event_line
from models_app.deployments.wanted import wanted_replicas

#: More steps than these are only counted.
MOST_STEPS = 6
#: Of a long roll-out the newest lines.
MOST_EVENTS = 40
#: Roll-outs of the past that the page of a deployment names.
PAST = 8


def course_context(actor: Any, row: Deployment, replicas: list[Replica]) -> dict[str, Any]:
    """The roll-out under way, the timeline of the newest one, and those before it."""
    rollouts = list(selectors.rollout_list(actor=actor, deployment=row)[: PAST + 1])
    newest = rollouts[0] if rollouts else None
    live = newest if newest is not None and newest.ended_at is None else None
    return {
        "rolling": _rolling(row, live, replicas) if live else None,
        "newest_rollout": newest,
        "timeline": _timeline(newest) if newest else [],
        "earlier_rollouts": [(past, _strategy(past)) for past in rollouts[1:]],
        "refused": _refused(row, newest),
    }


def _strategy(rollout: Rollout) -> str:
    if rollout.strategy == "in_place":
        return _("in place")
    return value_words(ServingSpec, "strategy", rollout.strategy)


def _rolling(row: Deployment, rollout: Rollout, replicas: list[Replica]) -> dict[str, Any]:
    revision = rollout.revision
    revision.deployment = row
    own = [r for r in replicas if r.revision_id == revision.pk]
    old = [r for r in replicas if r.revision_id == row.active_revision_id]
    beside = in_place_ready(revision, replicas)
    ready = sum(r.state == ReplicaState.READY for r in own) if beside is None else beside
    answering = sum(r.state == ReplicaState.READY for r in old)
    wanted = wanted_replicas(row, revision)
    step = current_step(rollout)
    steps = parsed(rollout.plan)
    goal = wanted if step.new is None else min(step.new, wanted)
    found = rollout_figures(rollout)
    number = min(rollout.step, len(steps) - 1)
    return {
        "rollout": rollout,
        "revision": revision,
        "ready": ready,
        "answering": answering,
        "goal": goal,
        "wanted": wanted,
        "progress": 100 * ready / max(1, wanted),
        "step_number": number + 1,
        "steps": _steps(steps, number) if 1 < len(steps) <= MOST_STEPS else [],
        "step_count": len(steps),
        "step_text": step_text(step, wanted=wanted, old=len(old)),
        "old_percent": 100 - rollout.percent,
        "promotable": number < len(steps) - 1 and ready >= goal,
        "paused": rollout.state == RolloutState.PAUSED,
        "proving": rollout.golden == Golden.DUE,
        "figures": _figures(found, rollout) if found else [],
        "verdicts": found.judge if found else None,
    }


def _figures(found: Figures, rollout: Rollout) -> list[dict[str, Any]]:
    """Both sides as the next round will judge them."""
    limits = rollout.revision.serving
    sides = [(found.old, rollout.previous), (found.new, rollout.revision)]
    return [
        {
            "name": f"r{revision.number}",
            "requests": arm.requests,
            "error_percent": arm.error_percent,
            "limit_percent": limits.max_error_percent if revision == rollout.revision else None,
            "bad_errors": arm.error_percent > limits.max_error_percent,
            "first_token_p95_ms": arm.first_token_p95_ms,
        }
        for arm, revision in sides
        if revision is not None
    ]


def _steps(steps: list[Step], now: int) -> list[dict[str, Any]]:
    return [
        {
            "name": _step_name(step),
            "state": "done" if place < now else "now" if place == now else "",
            "share": step.percent if not step.mirror else step.mirror,
        }
        for place, step in enumerate(steps)
    ]


def _step_name(step: Step) -> str:
    names = {
        "start": _("Start"),
        "swap": _("Swap"),
        "replace": _("Replace"),
        "canary": _("Canary %(percent)s %%"),
        "linear": _("%(percent)s %%"),
        "shadow": _("Copies of %(mirror)s %%"),
        "finish": _("All requests"),
    }
    return names.get(step.kind, step.kind) % {"percent": step.percent, "mirror": step.mirror}


def _timeline(rollout: Rollout) -> list[dict[str, Any]]:
    """Newest first."""
    events = list(rollout.events.all())[-MOST_EVENTS:]
    _name(events)
    return [{"at": event.at, "line": event_line(event, said)} for event in reversed(events)]


def _name(events: list[RolloutEvent]) -> None:
    """Call the people in them by their names; stored are the addresses they sign in with."""
    names = dict(
        User.objects.filter(email__in={event.data.get("by") for event in events} - {None})
        .exclude(name="")
        .values_list("email", "name")
    )
    for event in events:
        if event.data.get("by") in names:
            event.data["by"] = names[event.data["by"]]


def _refused(row: Deployment, newest: Rollout | None) -> Rollout | None:
    """A way back that was refused because of other answers, and can be let through."""
    if newest is None or newest.golden != Golden.DIFFERENT or newest.ended_at is None:
        return None
    served = newest.revision.activated_at is not None
    return newest if served and row.active_revision_id != newest.revision_id else None
