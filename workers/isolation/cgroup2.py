"""The fence of control groups, version 2: one folder, kept by the kernel, killed by one write.

It needs a delegated group: our own with its processes moved into a leaf, because a group that
hands controllers down may hold no processes itself. See docs/reference/isolation.md.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workers.isolation.cgroup import (
    PERIOD_US,
    UNASKED_CPUS,
    CgroupFence,
    counter,
    peaks,
    read_number,
    read_text,
    usable,
    used_mib,
)
from workers.isolation.fence import MIB
from workers.isolation.hierarchy import PROC, hierarchies, own_group

NEEDED = ("memory", "pids")
WANTED = ("memory", "pids", "cpu")
#: Where the worker itself (and what else ran in its group) moves to.
LEAF = "slipway-worker"


class Cgroup2Fence(CgroupFence):
    """memory.max, memory.swap.max, memory.oom.group, pids.max, cpu.max, cpu.weight, cgroup.kill."""

    backend = "cgroup2"

    @property
    def folder(self) -> Path:
        return self._distinct()[0]

    def kill(self) -> None:
        self.ended |= self.members()
        with contextlib.suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")
        super().kill()  # waits until it is empty; before Linux 5.14 it does the work as well

    def used(self) -> dict[str, Any]:
        cpu_s = counter(self.folder / "cpu.stat", "usage_usec") / 1e6
        return peaks(self._peak_mib(), read_number(self.folder / "pids.peak"), cpu_s)

    def enforced(self) -> dict[str, str]:
        kept = {"memory": "kernel: memory.max", "pids": "kernel: pids.max"}
        if "cpu" in self.folders:
            kept["cpus"] = "kernel: cpu.max" if self.limits.cpus else "kernel: cpu.weight"
        return self._polled({k: v for k, v in kept.items() if k in (*self.folders, "cpus")})

    def _limit(self) -> None:
        limits, folder = self.limits, self.folder
        if "memory" in self.folders:
            if limits.memory_mib:
                (folder / "memory.max").write_text(str(limits.memory_mib * MIB))
            for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                if (folder / name).exists():
                    (folder / name).write_text(value)
        if "pids" in self.folders and limits.pids:
            (folder / "pids.max").write_text(str(limits.pids))
        if "cpu" in self.folders:
            weight = min(10_000, max(1, round(100 * (limits.cpus or UNASKED_CPUS))))
            (folder / "cpu.weight").write_text(str(weight))
            if limits.cpus:
                quota = max(1000, round(limits.cpus * PERIOD_US))
                (folder / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def _killed_for_memory(self) -> int:
        return counter(self.folder / "memory.events", "oom_kill")

    def _peak_mib(self) -> int:
        peak = read_number(self.folder / "memory.peak")
        return used_mib(peak or read_number(self.folder / "memory.current"))


def find_bases(
    *, chosen: Path | None = None, proc: Path = PROC, needed: Iterable[str] = NEEDED
) -> dict[str, Path]:
    """controller -> the group in which cages can be made; empty, when this machine offers none.

    `chosen` is the group an operator has set aside; by default it is our own, if it was delegated.
    """
    base = chosen or _own_group(proc)
    if base is None or not (base / "cgroup.controllers").exists():
        return {}
    offered = set(read_text(base / "cgroup.controllers").split())
    if not offered.issuperset(needed):
        return {}
    wanted = [name for name in WANTED if name in offered]
    if not _handed_down(base, wanted) and not _hand_down(base, wanted, free=chosen is not None):
        return {}
    knobs = [f"{name}.max" for name in wanted]
    return dict.fromkeys(wanted, base) if usable(base, *knobs) else {}


def _own_group(proc: Path) -> Path | None:
    found = next((one for one in hierarchies(proc) if one.version == 2), None)
    if found is None:
        return None
    folder = found.folder(own_group("", proc))
    return folder.parent if folder.name == LEAF else folder


def _handed_down(base: Path, wanted: list[str]) -> bool:
    return set(read_text(base / "cgroup.subtree_control").split()).issuperset(wanted)


def _hand_down(base: Path, wanted: list[str], *, free: bool) -> bool:
    """Switch the controllers on for groups below; our own processes step aside for it."""
    command = " ".join(f"+{name}" for name in wanted)
    control = base / "cgroup.subtree_control"
    try:
        control.write_text(command)
    except OSError:
        if not (free or _delegated(base)):
            return False
        try:
            _step_aside(base)
            control.write_text(command)
        except OSError:
            return False
    return _handed_down(base, wanted)


def _delegated(base: Path) -> bool:
    """Whether systemd has given the group into our hands (Delegate=yes)."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(base, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _step_aside(base: Path) -> None:
    leaf = base / LEAF
    leaf.mkdir(exist_ok=True)
    for pid in read_text(base / "cgroup.procs").split():
        with contextlib.suppress(ProcessLookupError):
            (leaf / "cgroup.procs").write_text(pid)
