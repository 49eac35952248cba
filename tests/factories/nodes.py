"""Nodes that have just given a sign of life, and pools of them."""

from django.db.models.functions import Now

from models_app.pools.models import Node, Pool
from models_app.pools.services.registration import node_register


def ready_node(name="node-1", *, slots=8, labels=None, gpus=0, **capacity) -> Node:
    """A node that takes jobs."""
    capacity = {"cpus": 8, "memory_mib": 16_000, "disk_free_mib": 100_000, **capacity}
    capacity["gpus"] = [{"name": "GPU", "memory_mib": 80_000}] * gpus
    return node_register(
        name=name, incarnation=f"{name}:100:1", slots=slots, capacity=capacity, labels=labels
    )


def silent_node(name="node-1", *, seconds=60, **options) -> Node:
    """A node whose last sign of life was a while ago, by the database's clock."""
    import datetime as dt

    node = ready_node(name, **options)
    Node.objects.filter(pk=node.pk).update(last_seen_at=Now() - dt.timedelta(seconds=seconds))
    node.refresh_from_db()
    return node


def pool_of(name="fast", *, teams=(), **fields) -> Pool:
    """A pool, by default without limits and for every team."""
    pool = Pool.objects.create(name=name, **fields)
    pool.teams.set(teams)
    return pool
