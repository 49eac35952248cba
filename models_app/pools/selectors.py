"""Reads nodes and pools."""

import datetime as dt
from typing import Any

from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.pools.models import Node, Pool
from models_app.pools.states import NodeState

SILENT_AFTER = dt.timedelta(seconds=15)


def node_list() -> QuerySet[Node]:
    """All nodes but removed ones, with `ready`: whether they have given a sign of life lately."""
    return (
        Node.objects.exclude(state=NodeState.REMOVED)
        .annotate(
            ready=Case(
                When(last_seen_at__gt=Now() - SILENT_AFTER, then=Value(True)),
                default=Value(False),
                output_field=BooleanField(),
            )
        )
        .order_by("name")
    )


def node_get(name: str) -> Node:
    """One node by name, or NotFound."""
    node = node_list().filter(name=name).first()
    if node is None:
        raise NotFound(_("There is no such node."))
    return node


def node_speed(name: str) -> dict[str, Any]:
    """What was measured of a node's speed, or nothing."""
    capacity = Node.objects.filter(name=name).values_list("capacity", flat=True).first()
    return dict((capacity or {}).get("speed") or {})


def nodes_ready() -> QuerySet[Node]:
    """Nodes that take jobs and have given a sign of life lately."""
    return Node.objects.filter(state=NodeState.READY, last_seen_at__gt=Now() - SILENT_AFTER)


def nodes_alive() -> list[Node]:
    """Nodes that have given a sign of life lately, whether or not they take jobs."""
    return list(
        Node.objects.exclude(state=NodeState.REMOVED).filter(last_seen_at__gt=Now() - SILENT_AFTER)
    )


def pool_list(*, actor: Actor) -> QuerySet[Pool]:
    """Pools that some team of the actor may use."""
    teams = actor.visible_team_ids()
    rows = Pool.objects.prefetch_related("teams").order_by("-is_default", "name")
    if teams is None:
        return rows
    return rows.filter(Q(teams=None) | Q(teams__in=teams)).distinct()


def pool_get(*, actor: Actor, name: str) -> Pool:
    """One pool that the actor may use, or NotFound."""
    pool = pool_list(actor=actor).filter(name=name).first()
    if pool is None:
        raise NotFound(_("There is no such pool."))
    return pool


def pool_nodes(pool: Pool, nodes: list[Node] | None = None) -> list[Node]:
    """The nodes that carry the pool's labels, of all nodes or of `nodes`."""
    candidates = list(node_list()) if nodes is None else nodes
    return [node for node in candidates if carries(node, pool.selector)]


def carries(node: Node, labels: dict[str, str]) -> bool:
    """Whether the node has all these labels."""
    return all(node.labels.get(name) == value for name, value in labels.items())
