"""The fence of control groups, version 1: a folder in each controller's own hierarchy."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL
from typing import Any

from workers.isolation.cgroup import (
    PERIOD_US,
    UNASKED_CPUS,
    CgroupFence,
    counter,
    peaks,
    read_number,
    usable,
    used_mib,
)
from workers.isolation.fence import MIB
from workers.isolation.hierarchy import PROC, hierarchies, own_group
from workers.isolation.processes import signal_all

NEEDED = ("memory",)
#: Controller -> a file that a group of it must have.
WANTED = {
    "memory": "memory.limit_in_bytes",
    "pids": "pids.max",
    "cpu": "cpu.cfs_quota_us",
    "cpuacct": "cpuacct.usage",
    "freezer": "freezer.state",
}


class Cgroup1Fence(CgroupFence):
    """memory.limit_in_bytes (and memsw), pids.max, cpu.cfs_quota_us, cpu.shares, the freezer."""

    backend = "cgroup1"

    def kill(self) -> None:
        """Frozen they cannot fork; a kill takes effect when they thaw."""
        freezer = self.folders.get("freezer")
        if freezer is not None:
            self._freeze(freezer, "FROZEN")
        try:
            self.ended |= (members := self.members())
            signal_all(members, SIGKILL)
        finally:
            if freezer is not None:
                self._freeze(freezer, "THAWED")
        super().kill()

    def used(self) -> dict[str, Any]:
        cpu_s = 0.0
        if "cpuacct" in self.folders:
            cpu_s = read_number(self.folders["cpuacct"] / "cpuacct.usage") / 1e9
        pids = read_number(self.folders["pids"] / "pids.peak") if "pids" in self.folders else 0
        return peaks(self._peak_mib(), pids, cpu_s)

    def enforced(self) -> dict[str, str]:
        kept = {"memory": "kernel: memory.limit_in_bytes"}
        if "pids" in self.folders:
            kept["pids"] = "kernel: pids.max"
        if "cpu" in self.folders:
            kept["cpus"] = f"kernel: cpu.{'cfs_quota_us' if self.limits.cpus else 'shares'}"
        return self._polled(kept)

    def _limit(self) -> None:
        memory, pids, cpu = (self.folders.get(name) for name in ("memory", "pids", "cpu"))
        if memory is not None and self.limits.memory_mib:
            limit = str(self.limits.memory_mib * MIB)
            (memory / "memory.limit_in_bytes").write_text(limit)
            with contextlib.suppress(OSError):  # only where swap is accounted
                if (memory / "memory.memsw.limit_in_bytes").exists():
                    (memory / "memory.memsw.limit_in_bytes").write_text(limit)
        if pids is not None and self.limits.pids:
            (pids / "pids.max").write_text(str(self.limits.pids))
        if cpu is not None:
            shares = min(262_144, max(2, round(1024 * (self.limits.cpus or UNASKED_CPUS))))
            (cpu / "cpu.shares").write_text(str(shares))
            if self.limits.cpus:
                (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                quota = max(1000, round(self.limits.cpus * PERIOD_US))
                (cpu / "cpu.cfs_quota_us").write_text(str(quota))

    def _killed_for_memory(self) -> int:
        return counter(self.folders["memory"] / "memory.oom_control", "oom_kill")

    def _peak_mib(self) -> int:
        if "memory" not in self.folders:
            return 0
        return used_mib(read_number(self.folders["memory"] / "memory.max_usage_in_bytes"))

    def _freeze(self, folder: Path, state: str) -> None:
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(OSError):
            (folder / "freezer.state").write_text(state)
            while (folder / "freezer.state").read_text().strip() != state:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.002)


def find_bases(*, proc: Path = PROC, needed: Iterable[str] = NEEDED) -> dict[str, Path]:
    """controller -> our own group in its hierarchy, for those in which we may make groups.

    Empty, when a needed one is not among them.
    """
    bases = {}
    for hierarchy in (one for one in hierarchies(proc) if one.version == 1):
        for controller in hierarchy.controllers & WANTED.keys():
            base = hierarchy.folder(own_group(controller, proc))
            if base.is_dir() and usable(base, WANTED[controller]):
                bases[controller] = base
    return bases if bases.keys() >= set(needed) else {}
