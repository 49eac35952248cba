"""What a node says of itself: I have started, I live, I am going."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit
from models_app.pools.models import Node
from models_app.pools.states import ALLOWED, NodeState

#: States that a sign of life ends; what an operator decided stays.
SILENT = (NodeState.UNREACHABLE, NodeState.QUARANTINED)
#: Quarantines by hand begin with this, so that a sign of life does not lift them.
BY_HAND = "By hand: "


def node_register(
    *,
    name: str,
    incarnation: str,
    slots: int,
    capacity: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    shares_store: bool = True,
) -> Node:
    """A worker has started under this name; an older incarnation of it is gone.

    A node that is cordoned, draining or quarantined by hand stays so over a restart. Labels that
    an operator or a join token has given stay; the worker's own are laid over them.
    """
    with transaction.atomic():
        node = Node.objects.select_for_update().filter(name=name).first()
        fields = {
            "incarnation": incarnation,
            "slots": slots,
            "used_slots": 0,
            "capacity": dict(capacity),
            "cpus": float(capacity.get("cpus", 0)),
            "memory_mib": int(capacity.get("memory_mib", 0)),
            "disk_mib": int(capacity.get("disk_free_mib", 0)),
            "gpus": len(capacity.get("gpus", [])),
            "shares_store": shares_store,
            "started_at": Now(),
            "last_seen_at": Now(),
        }
        if node is None:
            node = Node.objects.create(
                name=name, state_changed_at=Now(), labels=dict(labels or {}), **fields
            )
            audit_record(actor=SYSTEM, action="node.joined", obj=node)
        else:
            Node.objects.filter(pk=node.pk).update(
                labels={**node.labels, **(labels or {})}, **fields
            )
            _revive(node)
        node.refresh_from_db()
        node_announce(node)
    return node


def node_heartbeat(
    *,
    name: str,
    incarnation: str,
    used_slots: int,
    health: Mapping[str, Any] | None = None,
    node_time: float | None = None,
) -> Node | None:
    """Sign of life. None: another incarnation has taken the name over, or the row is gone.

    `node_time` is the node's own clock (seconds since 1970): how far it is off is kept for people;
    nothing is decided by it.
    """
    changes: dict[str, Any] = {"last_seen_at": Now(), "used_slots": used_slots}
    if health is not None:
        changes["health"] = dict(health)
    if node_time is not None:
        changes["clock_skew_s"] = round(now().timestamp() - node_time, 3)
    if not Node.objects.filter(name=name, incarnation=incarnation).update(**changes):
        return None
    node = Node.objects.get(name=name)
    if node.state in SILENT and not node.state_reason.startswith(BY_HAND):
        with transaction.atomic():
            node = Node.objects.select_for_update().get(name=name)
            _revive(node)
            node_announce(node)
    return node


def node_measured(*, name: str, incarnation: str, speed: Mapping[str, Any]) -> bool:
    """How fast the node computes has been measured. False: another incarnation has its name."""
    with transaction.atomic():
        rows = Node.objects.select_for_update().filter(name=name, incarnation=incarnation)
        node = rows.first()
        if node is None:
            return False
        node.capacity = {**node.capacity, "speed": dict(speed)}
        node.save(update_fields=["capacity"])
        node_announce(node)
    return True


def node_gone(*, name: str, incarnation: str) -> None:
    """The worker says goodbye: it no longer counts as present."""
    with transaction.atomic():
        node = Node.objects.select_for_update().filter(name=name, incarnation=incarnation).first()
        if node is None:
            return
        Node.objects.filter(pk=node.pk).update(
            last_seen_at="1970-01-01T00:00:00Z", used_slots=0, health={}
        )
        if node.state == NodeState.READY:
            node_silent(node, "It was shut down.")
        node_announce(node)


def node_silent(node: Node, reason: str, state: str = NodeState.UNREACHABLE) -> None:
    """With the row locked: it gives no sign of life; nothing new is placed on it."""
    advance(node, state, allowed=ALLOWED, state_reason=reason, state_changed_at=Now())
    audit_record(actor=SYSTEM, action=f"node.{state}", obj=node, changes={"reason": reason})
    node_announce(node)


def node_announce(node: Node) -> None:
    """Tell the pages of nodes, after commit."""
    publish_on_commit("node.changed", {"name": node.name, "state": str(node.state)}, "all")


def _revive(node: Node) -> None:
    gone = node.state == NodeState.REMOVED
    silent = node.state in SILENT and not node.state_reason.startswith(BY_HAND)
    if gone or silent:
        old = str(node.state)
        advance(node, NodeState.READY, allowed=ALLOWED, state_reason="", state_changed_at=Now())
        audit_record(actor=SYSTEM, action="node.returned", obj=node, changes={"from": old})
