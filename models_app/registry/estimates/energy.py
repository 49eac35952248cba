"""What a training draws from the socket, about: watts of what it occupies, times its time."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.pools.models import Node
from models_app.registry.estimates.outcome import Energy, EnergyBasis

#: Where a node tells nothing of its power: watts of a core at full load. Green Algorithms takes
#: as much for a processor that it does not know (Lannelongue et al. 2021, Advanced Science 8).
#: It is the default of SLIPWAY_WATTS_PER_CORE, too.
WATTS_PER_CORE = 12.0


def energy(node: Node, threads: int, gpus: int, seconds: float | None) -> Energy | str:
    """Of so many threads and GPUs over the time; other parts of the machine are left out.

    Where nothing honest can be said: why not, in words.
    """
    if seconds is None:
        return _("its speed has not been measured, so the time is not known")
    found = _watts(node.capacity, threads, gpus)
    if isinstance(found, str):
        return found
    watts, basis = found
    return Energy(kwh=watts * seconds / 3.6e6, watts=watts, basis=basis)


def _watts(capacity: dict[str, Any], threads: int, gpus: int) -> tuple[float, EnergyBasis] | str:
    cpus = _of_cores(capacity, threads)
    if not gpus or isinstance(cpus, str):
        return cpus
    limits = [one.get("watts") for one in capacity.get("gpus", ())][:gpus]
    if not limits or not all(limits):
        return _("its GPUs do not tell the limit of their power")
    return cpus[0] + sum(map(float, limits)), EnergyBasis.GPU_LIMIT


def _of_cores(capacity: dict[str, Any], threads: int) -> tuple[float, EnergyBasis] | str:
    speed = capacity.get("speed") or {}
    busy = min(threads, max(1, int(capacity.get("cpus", 1))))
    if speed.get("watts") and speed.get("cores"):
        return busy * speed["watts"] / speed["cores"], EnergyBasis.MEASURED
    each = float(capacity.get("watts_per_core", WATTS_PER_CORE))
    if not each:
        return _("its processor does not tell its power, and SLIPWAY_WATTS_PER_CORE is 0 there")
    basis = EnergyBasis.ASSUMED if each == WATTS_PER_CORE else EnergyBasis.CONFIGURED
    return busy * each, basis
