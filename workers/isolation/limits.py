"""What one attempt may take of its node."""

from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings

from workers.capacity import memory_mib

#: Left to the worker and the system when a job asks for no memory in particular.
RESERVE_SHARE, RESERVE_LEAST_MIB = 20, 128
PIDS_PER_CPU = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one attempt; zero means that there is none."""

    cpus: float = 0
    memory_mib: int = 0
    disk_mib: int = 0
    pids: int = 0
    gpus: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def limits_of(job: Any, *, node_mib: int | None = None, node_cpus: int = 1) -> Limits:
    """What the job asks for; where it asks for nothing, what the settings or the node give."""
    offer = memory_mib() if node_mib is None else node_mib
    asked = job.memory_mib or settings.JOB_MEMORY_MIB
    default = max(offer - max(offer // RESERVE_SHARE, RESERVE_LEAST_MIB), offer // 2)
    return Limits(
        cpus=job.cpus,
        memory_mib=min(asked, offer) if asked else default,
        disk_mib=job.disk_mib or settings.JOB_DISK_MIB,
        # Numerical libraries start threads by the number of processors.
        pids=settings.JOB_PIDS + PIDS_PER_CPU * node_cpus,
        gpus=job.gpus,
    )
