"""What a node says of its health, and what of it somebody should look at."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.figures import count, duration, size
from console.pages.meters import MIB, amount
from models_app.pools.models import Node

#: Clocks that differ by more than this make logs hard to read.
SKEW_S = 2
HOT_C = 85
LITTLE_DISK_MIB = 5 * 1024
LITTLE_MEMORY = 0.05
#: Runnable processes for each processor above which work is slow.
BUSY = 2


@dataclass(frozen=True)
class Concern:
    """A short warning: its tone, its icon and its words."""

    tone: str
    icon: str
    text: str


def concerns(node: Node) -> list[Concern]:
    """What is not as it should be, the worst first."""
    health = node.health or {}
    return [*_devices(node, health.get("gpus", [])), *_machine(node, health), *_clock(node)]


def _devices(node: Node, gpus: list[dict[str, Any]]) -> list[Concern]:
    found = []
    missing = node.gpus - len(gpus)
    if node.health and missing > 0:
        text = ngettext("%(n)s GPU does not answer", "%(n)s GPUs do not answer", missing)
        found.append(Concern("red", "alert-triangle", text % {"n": missing}))
    for number, gpu in enumerate(gpus):
        errors = int(gpu.get("uncorrected_errors", 0))
        if errors:
            text = ngettext(
                "GPU %(number)s: %(n)s memory error", "GPU %(number)s: %(n)s memory errors", errors
            )
            said = text % {"number": number, "n": count(errors)}
            found.append(Concern("red", "alert-triangle", said))
        if gpu.get("temperature_c", 0) >= HOT_C:
            said = _("GPU %(number)s: %(degrees)s °C") % {
                "number": number,
                "degrees": count(gpu["temperature_c"]),
            }
            found.append(Concern("amber", "temperature", said))
    return found


def _machine(node: Node, health: dict[str, Any]) -> list[Concern]:
    found = []
    disk, memory = health.get("disk_free_mib"), health.get("memory_free_mib")
    if disk is not None and disk < LITTLE_DISK_MIB:
        said = _("only %(size)s of disk left") % {"size": size(disk * MIB)}
        found.append(Concern("amber", "database", said))
    if memory is not None and node.memory_mib and memory < LITTLE_MEMORY * node.memory_mib:
        said = _("only %(size)s of memory left") % {"size": size(memory * MIB)}
        found.append(Concern("amber", "cpu", said))
    if node.cpus and health.get("load", 0) > BUSY * node.cpus:
        said = _("load %(load)s on %(cpus)s processors") % {
            "load": count(round(health["load"])),
            "cpus": count(node.cpus),
        }
        found.append(Concern("amber", "gauge", said))
    return found


def _clock(node: Node) -> list[Concern]:
    if abs(node.clock_skew_s) <= SKEW_S:
        return []
    text = _("clock %(time)s behind") if node.clock_skew_s > 0 else _("clock %(time)s ahead")
    said = text % {"time": duration(abs(node.clock_skew_s))}
    return [Concern("amber", "clock", said)]


def devices(node: Node) -> list[dict[str, Any]]:
    """Each GPU: what it is, and its figures now where the driver tells them."""
    known = node.capacity.get("gpus", [])
    now = (node.health or {}).get("gpus", [])
    rows = []
    for number in range(max(len(known), len(now))):
        has = known[number] if number < len(known) else {}
        says = now[number] if number < len(now) else {}
        total, used = has.get("memory_mib"), says.get("memory_used_mib")
        rows.append(
            {
                "number": number,
                "name": has.get("name", ""),
                "memory": amount("memory_mib", total) if total else "",
                "memory_used": amount("memory_mib", used) if used is not None else "",
                "memory_percent": 100 * used / total if total and used is not None else None,
                "busy": says.get("utilization_percent"),
                "degrees": says.get("temperature_c"),
                "errors": int(says.get("uncorrected_errors", 0)),
            }
        )
    return rows
