"""What a node says of itself."""

from typing import Any

from django.db.models.functions import Now

from models_app.pools.models import Node


def node_register(
    *, name: str, incarnation: str, queues: list[str], slots: int, capacity: dict[str, Any]
) -> Node:
    """A worker has started under this name; an older incarnation of it is gone."""
    node, _ = Node.objects.update_or_create(
        name=name,
        defaults={
            "incarnation": incarnation,
            "queues": queues,
            "slots": slots,
            "used_slots": 0,
            "capacity": capacity,
            "started_at": Now(),
            "last_seen_at": Now(),
        },
    )
    return node


def node_heartbeat(*, name: str, incarnation: str, used_slots: int) -> bool:
    """Sign of life. False: another incarnation has taken the name over."""
    hit = Node.objects.filter(name=name, incarnation=incarnation).update(
        last_seen_at=Now(), used_slots=used_slots
    )
    return bool(hit)


def node_gone(*, name: str, incarnation: str) -> None:
    """The worker says goodbye: it no longer counts as present."""
    Node.objects.filter(name=name, incarnation=incarnation).update(
        last_seen_at="1970-01-01T00:00:00Z", used_slots=0
    )
