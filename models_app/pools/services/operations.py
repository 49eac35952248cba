"""What operators do with nodes: cordon, drain, quarantine, bring back, label, remove."""

import datetime as dt
import re
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.pools.models import Node
from models_app.pools.services.registration import BY_HAND, SILENT, node_announce
from models_app.pools.states import ALLOWED, NodeState

LONGEST_DRAIN_S = 7 * 24 * 3600
LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")


@transaction.atomic
def node_cordon(*, actor: Actor, node: Node, reason: str = "") -> Node:
    """Give it no new jobs; what runs there goes on."""
    node = _managed(actor, node)
    if node.state == NodeState.CORDONED:
        return node
    return _move(actor, node, NodeState.CORDONED, "node.cordoned", reason)


@transaction.atomic
def node_uncordon(*, actor: Actor, node: Node) -> Node:
    """Give it jobs again; also ends a drain and a quarantine."""
    node = _managed(actor, node)
    if node.state in (NodeState.UNREACHABLE, NodeState.REMOVED):
        raise WrongState(
            _("Node %(name)s gives no sign of life. Start its worker.") % {"name": node.name}
        )
    if node.state == NodeState.READY:
        return node
    return _move(actor, node, NodeState.READY, "node.uncordoned", "")


@transaction.atomic
def node_drain(
    *,
    actor: Actor,
    node: Node,
    deadline_s: int = 1800,
    remove: bool = False,
    reason: str = "",
) -> Node:
    """Empty it: trainings save and move, streams finish, short work ends; then it is cordoned.

    After `deadline_s` seconds what is still there is stopped and started elsewhere. With `remove`
    the node leaves when it is empty.
    """
    if not 0 <= deadline_s <= LONGEST_DRAIN_S:
        raise FieldError("deadline_s", _("Use 0 to %(most)s seconds.") % {"most": LONGEST_DRAIN_S})
    node = _managed(actor, node)
    deadline = now() + dt.timedelta(seconds=deadline_s)
    changes: dict[str, Any] = {"drain_deadline_at": deadline, "remove_when_empty": remove}
    if node.state == NodeState.DRAINING:
        Node.objects.filter(pk=node.pk).update(**changes)
        node.refresh_from_db()
        said = {"deadline_s": deadline_s, "remove": remove, "reason": reason[:300]}
        audit_record(actor=actor, action="node.drain_changed", obj=node, changes=said)
        node_announce(node)
        return node
    return _move(actor, node, NodeState.DRAINING, "node.draining", reason, **changes)


@transaction.atomic
def node_quarantine(*, actor: Actor, node: Node, reason: str) -> Node:
    """Something is wrong with it: no new jobs, and its lost jobs are held back."""
    node = _managed(actor, node)
    reason = BY_HAND + clean_title(reason, "reason", limit=280)
    return _move(actor, node, NodeState.QUARANTINED, "node.quarantined", reason)


@transaction.atomic
def node_remove(*, actor: Actor, node: Node) -> Node:
    """Forget a node that is gone or empty. It may join again."""
    node = _managed(actor, node)
    # A node that fell silent cannot say any more that its slots are free.
    busy = node.used_slots and node.state not in SILENT
    if node.state == NodeState.READY or busy:
        raise WrongState(
            _("Node %(name)s still works. Drain it first, with removal at the end.")
            % {"name": node.name}
        )
    return _move(actor, node, NodeState.REMOVED, "node.removed", "")


@transaction.atomic
def node_set_labels(*, actor: Actor, node: Node, labels: dict[str, str]) -> Node:
    """Replace its labels; pools select nodes by them."""
    node = _managed(actor, node)
    labels = clean_labels(labels)
    old = node.labels
    Node.objects.filter(pk=node.pk).update(labels=labels)
    node.refresh_from_db()
    changes = {"labels": {"from": old, "to": labels}}
    audit_record(actor=actor, action="node.labelled", obj=node, changes=changes)
    node_announce(node)
    return node


def clean_labels(labels: Any, field: str = "labels") -> dict[str, str]:
    """Short names and values, at most 32; or FieldError."""
    if not isinstance(labels, dict) or len(labels) > 32:
        raise FieldError(field, _("Give at most 32 labels, each with a name and a value."))
    for name, value in labels.items():
        if not (isinstance(value, str) and LABEL.fullmatch(name) and LABEL.fullmatch(value)):
            raise FieldError(
                f"{field}.{name}"[:120],
                _("Use letters, digits, dots, dashes, underscores or slashes, 63 at most."),
            )
    return dict(labels)


def _managed(actor: Actor, node: Node) -> Node:
    require(actor, "pools.manage_node")
    return Node.objects.select_for_update().get(pk=node.pk)


def _move(actor: Actor, node: Node, to: str, action: str, reason: str, **changes: Any) -> Node:
    reason = clean_title(reason, "reason", limit=300) if reason else ""
    if to != NodeState.DRAINING:
        changes |= {"drain_deadline_at": None, "remove_when_empty": False}
    old = str(node.state)
    advance(node, to, allowed=ALLOWED, state_reason=reason, state_changed_at=Now(), **changes)
    audit_record(actor=actor, action=action, obj=node, changes={"from": old, "reason": reason})
    node_announce(node)
    return node
