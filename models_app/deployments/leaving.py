"""Which replicas leave where there are more than wanted: those that are missed least."""

from collections import Counter

from models_app.deployments.load import load_now
from models_app.deployments.models import Deployment, Replica
from models_app.deployments.states import ReplicaState


def surplus(deployment: Deployment, replicas: list[Replica], wanted: int) -> list[Replica]:
    """All but `wanted`: what is not ready goes first, then what crowds a node, the idle, the young.

    A replica leaves its node to others of the same deployment one at a time, so that what stays is
    spread as well as it can be.
    """
    staying = list(replicas)
    busy = _busy(deployment, replicas) if len(replicas) > wanted else {}
    leaving: list[Replica] = []
    while len(staying) > wanted:
        crowd = Counter(_node(replica) for replica in staying)
        least = min(
            staying,
            key=lambda r: (
                r.state == ReplicaState.READY,
                -crowd[_node(r)] if _node(r) else 0,
                busy.get(r.pk, 0),
                -r.pk,
            ),
        )
        staying.remove(least)
        leaving.append(least)
    return leaving


def _node(replica: Replica) -> str:
    return replica.job.node_name if replica.job is not None else ""


def _busy(deployment: Deployment, replicas: list[Replica]) -> dict[int, int]:
    """Requests that each has not finished, where gateways say so."""
    if sum(replica.state == ReplicaState.READY for replica in replicas) < 2:
        return {}
    loads = load_now() or {}
    load = loads.get(deployment.pk)
    return dict(load.replicas) if load else {}
