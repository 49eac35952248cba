"""What every fence can do, and how a breach of one is told."""

import time
from dataclasses import dataclass
from signal import SIGKILL, SIGSTOP
from typing import Any, ClassVar

from models_app.jobs.states import ReasonCode
from workers.isolation.limits import Limits
from workers.isolation.processes import (
    Process,
    proportional_bytes,
    signal_all,
    table,
)

MIB = 1 << 20
#: How long the end of a cage may take: a process in an uninterruptible wait cannot be hurried.
KILL_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A limit was passed: the attempt is ended for it, alone."""

    code: ReasonCode
    used: int
    limit: int
    permanent: bool = True

    def message(self, step: int | None) -> str:
        """What it took, where, and what to do."""
        where = f", at step {step:,}" if step else ""
        return TEXTS[self.code].format(used=self.used, limit=self.limit, where=where)


TEXTS = {
    ReasonCode.OOM: "It used {used:,} of {limit:,} MiB of memory and needed more{where}."
    " Lower batch_size or the sequence length, or ask for more memory (memory_mib).",
    ReasonCode.PIDS: "It had {used:,} of {limit:,} processes and threads and started more{where}."
    " Use fewer loader processes or threads, or let an operator raise SLIPWAY_JOB_PIDS.",
    ReasonCode.DISK_FULL: "It used {used:,} of {limit:,} MiB of disk{where}."
    " Keep fewer checkpoints or write less, or ask for more disk (disk_mib).",
    ReasonCode.KILLED: "The machine ran out of memory{where}, and its kernel ended this job, which"
    " used {used:,} of its {limit:,} MiB. It goes on where there is more room.",
}


class Fence:
    """Keeps the processes of one attempt together and within limits."""

    backend: ClassVar[str]

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.leader: Process | None = None
        #: Whom we have killed: some may have become our own children, to be reaped.
        self.ended: set[int] = set()

    def make(self) -> None:
        """Before the process starts. OSError: this fence cannot be had now."""

    def entrances(self) -> list[str]:
        """Files into which the process writes itself before any of its code runs."""
        return []

    def entered(self, leader: Process) -> None:
        """The first process of the attempt; it has not run any code of its own yet."""
        self.leader = leader

    def members(self) -> set[int]:
        """Every process of the attempt that can be known."""
        raise NotImplementedError

    def breach(self) -> Breach | None:
        """The limit that was passed, if any."""
        raise NotImplementedError

    def used(self) -> dict[str, Any]:
        """The most it ever took, as far as this fence knows."""
        return {}

    def where(self) -> dict[str, str]:
        """Limit -> where to read it from outside."""
        return {}

    def enforced(self) -> dict[str, str]:
        """Limit -> who keeps it."""
        raise NotImplementedError

    def kill(self) -> None:
        """End every member: stopped first, so that none can start another meanwhile."""
        deadline = time.monotonic() + KILL_WITHIN_S
        while (left := self.members()) and time.monotonic() < deadline:
            self.ended |= left
            signal_all(left, SIGSTOP)
            signal_all(left | self.members(), SIGKILL)
            time.sleep(0.005)

    def remove(self) -> bool:
        """After the end. False: something of it could not be removed."""
        return not self.members()


def resident_mib(pids: set[int], limit_mib: int) -> int:
    """Memory of these processes. Only where the sum is above the limit are shared pages shared out,
    among them and with the template that they were forked from: that is dearer to read."""
    rows = table.rows(max_age_s=0.2)
    known = [rows[pid] for pid in pids if pid in rows]
    total = sum(row.rss for row in known)
    if limit_mib and total > limit_mib * MIB:
        total = sum(proportional_bytes(row.pid) for row in known)
    return total // MIB
