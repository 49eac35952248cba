"""Live topics (`noun.id`) and who may listen to them."""

from collections.abc import Callable
from typing import Any

from django.apps import apps

from models_app.core.actor import Actor
from models_app.core.permission import can_see

#: noun -> model whose rows carry a team.
OBJECTS = {
    "job": "jobs.Job",
    "dataset": "datasets.Dataset",
    "config": "configs.Config",
    "model": "registry.Model",
    "sweep": "sweeps.Sweep",
    "deployment": "deployments.Deployment",
    "route": "routing.Route",
    "approval": "approvals.ApprovalRequest",
}


def may_subscribe(actor: Actor, topic: str) -> bool:
    """Whether the actor may hear of this topic now. Unknown or malformed topics: no."""
    noun, _, key = topic.partition(".")
    if topic == "all":
        return actor.visible_team_ids() is None
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return False
    check = CHECKS.get(noun)
    return check(actor, int(key)) if check else _sees_object(actor, noun, int(key))


def _sees_team(actor: Actor, key: int) -> bool:
    teams = actor.visible_team_ids()
    return teams is None or key in teams


def _is_self(actor: Actor, key: int) -> bool:
    return bool(actor.pk == key)


def _sees_object(actor: Actor, noun: str, key: int) -> bool:
    label = OBJECTS.get(noun)
    if label is None:
        return False
    row: Any = apps.get_model(label)._base_manager.filter(pk=key).first()
    return row is not None and can_see(actor, row)


CHECKS: dict[str, Callable[[Actor, int], bool]] = {"team": _sees_team, "user": _is_self}
