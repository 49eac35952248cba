"""What a job asks of a node, and whether any node could ever give it."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import BaseModel, ConfigDict, Field

from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from models_app.jobs.kind import job_kinds
from models_app.pools.models import Node, Pool
from models_app.pools.selectors import carries, pool_nodes
from models_app.pools.services.operations import clean_labels

#: Resources that are counted, with their names for people.
COUNTED = {
    "slots": gettext_lazy("slots"),
    "cpus": gettext_lazy("processors"),
    "memory_mib": gettext_lazy("MiB of memory"),
    "disk_mib": gettext_lazy("MiB of disk"),
    "gpus": gettext_lazy("GPUs"),
}


class Resources(BaseModel):
    """What a job asks for besides one slot; zero asks for nothing in particular."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cpus: float = Field(0, ge=0, le=4096, allow_inf_nan=False)
    memory_mib: int = Field(0, ge=0, le=2**31)
    disk_mib: int = Field(0, ge=0, le=2**31)
    gpus: int | None = Field(None, ge=0, le=1024, description="By default what the kind needs")
    node_selector: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """The request of one job in numbers."""

    slots: float = 1
    cpus: float = 0
    memory_mib: float = 0
    disk_mib: float = 0
    gpus: float = 0

    @classmethod
    def of(cls, job: Any) -> "Ask":
        """Of anything with these columns. An inline job is over in a moment: it takes no slot."""
        slots = 0 if job_kinds.get(job.kind).inline else 1
        return cls(
            slots=slots,
            cpus=job.cpus,
            memory_mib=job.memory_mib,
            disk_mib=job.disk_mib,
            gpus=job.gpus,
        )

    def times(self, nodes: int) -> "Ask":
        """The same of so many nodes."""
        return Ask(**{name: amount * nodes for name, amount in self.items()})

    def items(self) -> list[tuple[str, float]]:
        """Resource and amount, in the order of COUNTED."""
        return [(name, float(getattr(self, name))) for name in COUNTED]

    @property
    def nothing(self) -> bool:
        """It holds no part of a node, so it makes no room when it ends either."""
        return not any(amount for _name, amount in self.items())


def resources_parse(given: dict[str, Any] | None) -> Resources:
    """Validate a request; InvalidInput names the field under `resources`."""
    asked = parse(Resources, given or {}, prefix="resources")
    clean_labels(asked.node_selector, "resources.node_selector")
    return asked


def resources_fields(
    *, asked: Resources, pool: Pool, wanted_gpus: int, nodes_wanted: int = 1
) -> dict[str, Any]:
    """The columns of a job; refuses what no node of the pool has, naming the largest that fits.

    A job on several nodes asks each of them; the limits of the pool are for all. A kind that
    profits from GPUs gets those where the pool has any and the request does not say.
    """
    asks = asked.cpus or asked.memory_mib or asked.disk_mib or asked.gpus or asked.node_selector
    nodes = pool_nodes(pool) if asks or wanted_gpus else []
    gpus = asked.gpus
    if gpus is None:
        gpus = wanted_gpus if any(node.gpus for node in nodes) else 0
    fields: dict[str, Any] = {
        "cpus": asked.cpus,
        "memory_mib": asked.memory_mib,
        "disk_mib": asked.disk_mib,
        "gpus": gpus,
        "node_selector": dict(asked.node_selector),
    }
    if asks:
        _refuse_impossible(fields, pool, nodes, nodes_wanted)
    return fields


def _refuse_impossible(
    fields: dict[str, Any], pool: Pool, nodes: list[Node], nodes_wanted: int
) -> None:
    errors: dict[str, str | list[str]] = {}
    labels = fields["node_selector"]
    fitting = [node for node in nodes if carries(node, labels)]
    if labels and nodes and not fitting:
        errors["resources.node_selector"] = _(
            "No node of the pool %(pool)s carries these labels. Change them, or label a node."
        ) % {"pool": pool.name}
    for name in ("cpus", "memory_mib", "disk_mib", "gpus"):
        most = _most(name, pool, fitting, nodes_wanted)
        if most is not None and fields[name] > most:
            said = (
                _("The pool %(pool)s has at most %(most)s %(unit)s for one job. Ask for less.")
                if nodes_wanted == 1
                else _("The pool %(pool)s has at most %(most)s %(unit)s for each node of one job.")
            )
            words = {"pool": pool.name, "most": f"{most:,g}", "unit": COUNTED[name]}
            errors[f"resources.{name}"] = said % words
    if errors:
        raise InvalidInput(errors)


def _most(name: str, pool: Pool, nodes: list[Node], nodes_wanted: int) -> float | None:
    """The most that one job can get of each of its nodes; None while the pool has no nodes yet
    (it may get some)."""
    limits = [float(limit) / nodes_wanted for limit in (getattr(pool, name),) if limit is not None]
    if nodes:
        limits.append(max(float(getattr(node, name)) for node in nodes))
    return min(limits) if limits else None
