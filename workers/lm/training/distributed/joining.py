"""The way in which the processes of a training share their work, by its name in the settings."""

from workers.lm.training.distributed.group import Group
from workers.lm.training.distributed.places import Place
from workers.lm.training.distributed.replicas import Replicas
from workers.lm.training.distributed.shards import Shards
from workers.lm.training.distributed.slices import Slices

_WAYS: dict[str, type[Group]] = {"ddp": Replicas, "fsdp": Shards, "tensor": Slices}


def join(place: Place, way: str) -> Group:
    """Meet the other processes, which must do the same; returns when all are there."""
    return _WAYS[way](place)
