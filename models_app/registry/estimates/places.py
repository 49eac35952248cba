"""Whether a training fits on a node, and in words why not."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.jobs.resources import COUNTED, Ask
from models_app.jobs.room import Room
from models_app.pools.models import Node
from models_app.pools.selectors import carries
from models_app.registry.estimates.outcome import Fit

GIB, MIB = 1 << 30, 1 << 20


def memory_of(node: Node, on_gpu: bool) -> tuple[int, int | None]:
    """Bytes of the device that computes, and how many of them are free now, if it is known."""
    gpus = node.capacity.get("gpus") or []
    if on_gpu and gpus:
        used = [one.get("memory_used_mib") for one in node.health.get("gpus", ())]
        total = int(gpus[0]["memory_mib"])
        free = None if not used or used[0] is None else total - int(used[0])
        return total * MIB, None if free is None else free * MIB
    free = node.health.get("memory_free_mib")
    return node.memory_mib * MIB, None if free is None else int(free) * MIB


def fit_of(
    node: Node, room: Room, fields: Mapping[str, Any], need: int, on_gpu: bool
) -> tuple[Fit, list[str]]:
    """Whether a job that asks for `fields` and will hold `need` bytes fits; with the reasons."""
    ask = Ask(**{name: fields[name] for name in COUNTED if name in fields})
    total, free = memory_of(node, on_gpu)
    never = _never(node, fields, ask, need, total)
    if never:
        return Fit.NEVER, never
    later = [
        _("only %(free)s %(unit)s are free")
        % {"free": f"{room.free[node.name].free(name):,g}", "unit": COUNTED[name]}
        for name in room.free[node.name].lacks(ask)
    ]
    if free is not None and free < need:
        words = {"free": f"{free / GIB:.1f}", "need": f"{need / GIB:.1f}"}
        later.append(_("%(free)s GiB of memory are free, it needs %(need)s") % words)
    return (Fit.LATER, later) if later else (Fit.NOW, [])


def _never(node: Node, fields: Mapping[str, Any], ask: Ask, need: int, total: int) -> list[str]:
    found = []
    if not carries(node, fields["node_selector"]):
        found.append(_("it lacks the labels asked for"))
    for name, amount in ask.items():
        if amount > getattr(node, name):
            words = {"has": f"{getattr(node, name):,g}", "unit": COUNTED[name]}
            found.append(_("it has only %(has)s %(unit)s") % words)
    if need > total:
        words = {"total": f"{total / GIB:.1f}", "need": f"{need / GIB:.1f}"}
        found.append(_("it has %(total)s GiB of memory, this needs %(need)s") % words)
    return found
