"""Reads nodes."""

import datetime as dt

from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.db.models.functions import Now

from models_app.pools.models import Node

SILENT_AFTER = dt.timedelta(seconds=15)


def node_list() -> QuerySet[Node]:
    """All nodes, with `ready`: whether they have given a sign of life lately."""
    return Node.objects.annotate(
        ready=Case(
            When(last_seen_at__gt=Now() - SILENT_AFTER, then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
    ).order_by("name")


def nodes_ready() -> list[Node]:
    """Nodes that have given a sign of life lately."""
    return list(Node.objects.filter(last_seen_at__gt=Now() - SILENT_AFTER))


def queues_served() -> set[str]:
    """Queues that at least one ready node consumes."""
    return {queue for node in nodes_ready() for queue in node.queues}
