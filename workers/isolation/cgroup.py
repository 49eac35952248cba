"""What the fences of both versions of control groups share: folders, members, counters."""

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from models_app.jobs.states import ReasonCode
from workers.isolation.fence import MIB, Breach, Fence, resident_mib
from workers.isolation.limits import Limits
from workers.isolation.processes import table

#: Below this share of its limit, a process killed for memory was killed for the whole machine's.
OWN_FAULT = 0.9
REMOVE_WITHIN_S = 2.0
PERIOD_US = 100_000
#: What a job that asks for no processors weighs, in processors, when they are short: who asked for
#: some comes first.
UNASKED_CPUS = 0.5


class CgroupFence(Fence):
    """One folder for each controller (one for all in version 2), made and removed with the cage."""

    def __init__(self, name: str, limits: Limits, bases: dict[str, Path]) -> None:
        super().__init__(name, limits)
        #: controller -> the folder of this cage.
        self.folders = {controller: base / name for controller, base in bases.items()}

    def make(self) -> None:
        try:
            for folder in self._distinct():
                if folder.exists():
                    folder.rmdir()  # left over and empty; one with processes refuses
                folder.mkdir()
            self._limit()
        except OSError:
            self.remove()
            raise

    def entrances(self) -> list[str]:
        return [str(folder / "cgroup.procs") for folder in self._distinct()]

    def members(self) -> set[int]:
        found: set[int] = set()
        for folder in self._distinct():
            for group in groups(folder):
                found.update(int(word) for word in read_text(group / "cgroup.procs").split())
        return found

    def breach(self) -> Breach | None:
        return self._memory_breach() or self._pids_breach()

    def where(self) -> dict[str, str]:
        return {controller: str(folder) for controller, folder in self.folders.items()}

    def remove(self) -> bool:
        """A group can be removed when its last process has been reaped, a moment after its end."""
        deadline = time.monotonic() + REMOVE_WITHIN_S
        left = [folder for folder in self._distinct() if folder.exists()]
        while left:
            for folder in left:
                remove_group(folder)
            left = [folder for folder in left if folder.exists()]
            if time.monotonic() > deadline:
                break
            if left:
                time.sleep(0.01)
        return not left

    def _distinct(self) -> list[Path]:
        return list(dict.fromkeys(self.folders.values()))

    def _limit(self) -> None:
        """Write the limits into the new folders."""
        raise NotImplementedError

    def _killed_for_memory(self) -> int:
        raise NotImplementedError

    def _peak_mib(self) -> int:
        raise NotImplementedError

    def _memory_breach(self) -> Breach | None:
        limit = self.limits.memory_mib
        if "memory" not in self.folders:
            used = resident_mib(self.members(), limit)
            over = limit and used > limit
            return Breach(code=ReasonCode.OOM, used=used, limit=limit) if over else None
        if not self._killed_for_memory():
            return None
        used = self._peak_mib()
        if limit and used < limit * OWN_FAULT:
            code = ReasonCode.KILLED
            return Breach(code=code, used=used, limit=limit, permanent=False)
        return Breach(code=ReasonCode.OOM, used=used, limit=limit or used)

    def _pids_breach(self) -> Breach | None:
        limit = self.limits.pids
        if "pids" in self.folders:
            refused = counter(self.folders["pids"] / "pids.events", "max")
            return Breach(code=ReasonCode.PIDS, used=limit, limit=limit) if refused else None
        rows = table.rows(max_age_s=0.25)
        used = sum(rows[pid].threads for pid in self.members() if pid in rows)
        over = limit and used > limit
        return Breach(code=ReasonCode.PIDS, used=used, limit=limit) if over else None

    def _polled(self, enforced: dict[str, str]) -> dict[str, str]:
        """Fill in who keeps the limits for which there is no controller."""
        looked = "looked at every 0.25 s"
        return {"memory": looked, "pids": looked, "cpus": "kept to its processors", **enforced}


def groups(folder: Path) -> list[Path]:
    """A group and those that a job made in it."""
    return [Path(found) for found, _, _ in os.walk(folder)]


def remove_group(folder: Path) -> None:
    """Remove a group and those in it; one that still has processes stays."""
    for path in reversed(groups(folder)):
        with contextlib.suppress(OSError):
            path.rmdir()


def read_text(path: Path) -> str:
    """The content, or nothing where the file or its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def read_number(path: Path) -> int:
    """One whole number, or 0."""
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else 0


def counter(path: Path, name: str) -> int:
    """One counter of a file of lines `name number`."""
    for line in read_text(path).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name:
            return int(words[1])
    return 0


def usable(folder: Path, *knobs: str) -> bool:
    """Whether groups with these files can be made in a folder and entered: tried, not guessed."""
    trial = folder / f"slipway-probe-{os.getpid()}"
    guest = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        trial.mkdir(exist_ok=True)
        if not all((trial / knob).exists() for knob in ("cgroup.procs", *knobs)):
            return False
        (trial / "cgroup.procs").write_text(str(guest.pid))
        return True
    except OSError:
        return False
    finally:
        guest.communicate()
        with contextlib.suppress(OSError):
            trial.rmdir()


def used_mib(number: int) -> int:
    """Bytes as MiB, rounded up."""
    return -(-number // MIB)


def peaks(memory: int, pids: int, cpu_s: float) -> dict[str, Any]:
    """The most an attempt took, as its record keeps it."""
    return {"memory_mib": memory, "pids": pids, "cpu_s": round(cpu_s, 2)}
