"""How much of something is held, as bars: of a node, of a pool, of all nodes together."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from console.pages.figures import UNITS, count, size
from models_app.jobs.resources import COUNTED
from models_app.jobs.room import Holder, Room
from models_app.pools.models import Node
from models_app.pools.states import NodeState

LABELS: dict[str, Any] = {
    "slots": _("Slots"),
    "cpus": _("Processors"),
    "memory_mib": _("Memory"),
    "disk_mib": _("Disk"),
    "gpus": pgettext_lazy("resource", "GPUs"),
}
MIB = 1 << 20
#: From here on a bar is amber: little is left for the next job.
NARROW = 85


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One resource: how much is held of how much, in words and in percent."""

    name: str
    label: str | Promise
    used: str
    total: str
    percent: float
    tone: str


def meter(name: str, used: float, total: float) -> Meter:
    """The bar of one resource."""
    percent = 100 * used / total if total else 0.0
    return Meter(
        name=name,
        label=LABELS[name],
        used=amount(name, used),
        total=amount(name, total),
        percent=percent,
        tone="amber" if percent >= NARROW else "blue",
    )


def amount(name: str, value: float) -> str:
    """So much of a resource in words: `12`, `62.5 GiB`, `180 GiB`, `0`."""
    if not name.endswith("_mib"):
        return count(value)
    whole, unit = value, 2
    while whole >= 1024 and unit < len(UNITS) - 1:
        whole, unit = whole / 1024, unit + 1
    # A tenth says something only of small figures that are not whole.
    text = size(value * MIB)
    if round(whole, 1) == round(whole) or whole >= 100:
        text = f"{round(whole)} {UNITS[unit]}"
    return text if value else "0"


def meters(used: Mapping[str, float], total: Mapping[str, float]) -> list[Meter]:
    """A bar for each resource that there is."""
    return [meter(name, used[name], total[name]) for name in COUNTED if total[name]]


def node_meters(holder: Holder) -> list[Meter]:
    """Bars of one node."""
    return meters(holder.used, {name: value or 0 for name, value in holder.total.items()})


def pool_meters(room: Room, pool_id: int) -> list[Meter]:
    """Bars of a pool: of its limits, or of what its nodes have."""
    return meters(room.limits[pool_id].used, room.size(pool_id))


def together(room: Room, nodes: Iterable[Node]) -> list[Meter]:
    """Bars of several nodes as one: only those that take jobs count."""
    used: dict[str, float] = dict.fromkeys(COUNTED, 0.0)
    total: dict[str, float] = dict.fromkeys(COUNTED, 0.0)
    for node in nodes:
        if node.state == NodeState.READY and getattr(node, "ready", False):
            holder: Any = room.free[node.name]
            for name in COUNTED:
                used[name] += holder.used[name]
                total[name] += holder.total[name]
    return meters(used, total)


def asked(job: Any) -> str:
    """What a job holds or asks for: `2 GPUs · 12 processors · 96 GiB memory`; else `1 slot`."""
    return held_words(
        {name: getattr(job, name) for name in COUNTED if name != "slots"} | {"slots": 1}
    )


def held_words(amounts: Mapping[str, float]) -> str:
    """The same of any amounts; slots are named where there is more than one, or nothing else."""
    said = {
        "gpus": ngettext("%(n)s GPU", "%(n)s GPUs", int(amounts["gpus"])),
        "cpus": ngettext("%(n)s processor", "%(n)s processors", math.ceil(amounts["cpus"])),
        "memory_mib": gettext("%(n)s memory"),
        "disk_mib": gettext("%(n)s disk"),
    }
    words = [
        text % {"n": amount(name, amounts[name])} for name, text in said.items() if amounts[name]
    ]
    slots = int(amounts["slots"])
    if slots > 1 or (slots and not words):
        words.insert(0, ngettext("%(n)s slot", "%(n)s slots", slots) % {"n": count(slots)})
    return " · ".join(words)
