"""What a training draws from the socket, about: watts of what it occupies, times its time."""

from typing import Any

from models_app.pools.models import Node
from models_app.registry.estimates.outcome import Energy, EnergyBasis

#: Where a node tells nothing of its power: watts of a core at full load. Green Algorithms takes
#: as much for a processor that it does not know (Lannelongue et al. 2021, Advanced Science 8).
WATTS_PER_CORE = 12.0


def energy(node: Node, threads: int, gpus: int, seconds: float) -> Energy:
    """Of so many threads and GPUs over the time; other parts of the machine are left out."""
    watts, basis = _watts(node.capacity, threads, gpus)
    return Energy(kwh=watts * seconds / 3.6e6, watts=watts, basis=basis)


def _watts(capacity: dict[str, Any], threads: int, gpus: int) -> tuple[float, EnergyBasis]:
    speed = capacity.get("speed") or {}
    busy = min(threads, max(1, int(capacity.get("cpus", 1))))
    cpus = busy * float(capacity.get("watts_per_core") or WATTS_PER_CORE)
    basis = EnergyBasis.ASSUMED
    if speed.get("watts") and speed.get("cores"):
        cpus, basis = busy * speed["watts"] / speed["cores"], EnergyBasis.MEASURED
    limits = [float(one["watts"]) for one in capacity.get("gpus", ()) if one.get("watts")]
    if gpus and limits:
        return cpus + sum(limits[:gpus]), EnergyBasis.GPU_LIMIT
    return cpus, basis
