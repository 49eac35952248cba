"""One attempt's cage: a fence with limits, a scratch folder with a quota, a signed record."""

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any

from django.conf import settings

from models_app.jobs.models import Job
from workers.isolation import records
from workers.isolation.disk import DiskMeter
from workers.isolation.fence import KILL_WITHIN_S, MIB, Breach, Fence
from workers.isolation.limits import limits_of
from workers.isolation.probe import fence_for, prefix
from workers.isolation.processes import (
    boot_id,
    pid_namespace,
    process,
    reap,
    signal_all,
    table,
    variable,
)
from workers.isolation.processors import processors

logger = logging.getLogger(__name__)

GATE = Path(__file__).with_name("gate.py")
#: Added to the worker's own: the kernel that needs memory takes a job before its worker.
OOM_SCORE = 500
NICE_WHERE_POLLED = 5
UMASK = 0o077


def scratch_root(node: str) -> Path:
    """Temporary files of this node's attempts, one folder each."""
    return Path(settings.SCRATCH_DIR) / node


def gate(plan: Path) -> list[str]:
    """The command that goes before that of the job's process."""
    # Isolated (-I) and without site packages (-S): nothing of the job's can run in it.
    return [sys.executable, "-I", "-S", str(GATE), str(plan)]


class Cage:
    """Made for one attempt, entered by its first process, closed when nothing of it lives."""

    def __init__(self, job: Job, folder: Path, *, measured: tuple[Path, ...] = ()) -> None:
        self.job, self.folder, self.node = job, folder, job.node_name
        self.limits = limits_of(job, node_cpus=len(os.sched_getaffinity(0)))
        self.scratch = scratch_root(self.node) / f"j{job.pk}.a{job.epoch}"
        self.marker = ""
        inputs = folder / "inputs"
        disk = [self.scratch, folder, *measured]
        self.disk = DiskMeter(disk, self.limits.disk_mib, skip=inputs)
        self.fence: Fence | None = None
        #: The process that the job's was forked from; None where it was started from nothing.
        self.template: int | None = None
        self._processors: list[int] = []
        self._breach: Breach | None = None

    def open(self) -> None:
        """Make everything.

        OSError: something cannot be made now; what was made is removed by `close`.
        """
        records.LIVE.add((self.job.pk, self.job.epoch))
        self._processors = processors.take(self.limits.cpus)
        self.marker = records.marker(self.node, self.job.pk, self.job.epoch)
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{prefix(self.node)}j{self.job.pk}-a{self.job.epoch}"
        self.fence = fence_for(name, self.limits)

    def plan(self, parent: int) -> Path:
        """What the gate is to do, as a file, for a process whose parent is `parent`."""
        assert self.fence is not None
        path = self.folder / "cage.json"
        path.write_text(json.dumps({**self._plan(self.fence), "parent": parent}))
        return path

    def environment(self) -> dict[str, str]:
        """What the processes of the attempt are given of the cage."""
        return {"TMPDIR": str(self.scratch), records.VARIABLE: self.marker}

    def entered(self, pid: int) -> None:
        """The gate waits in this process: write down what is about to run."""
        found = process(pid)
        if found is None or self.fence is None:
            return  # it has ended already; the supervisor will see how
        self.fence.entered(found)
        records.write(
            records.Record(
                node=self.node,
                job=self.job.pk,
                epoch=self.job.epoch,
                pid=pid,
                started=found.started,
                boot=boot_id(),
                namespace=pid_namespace(),
                scratch=str(self.scratch),
                cgroups=[str(Path(path).parent) for path in self.fence.entrances()],
            )
        )

    def breach(self, *, final: bool = False) -> Breach | None:
        """The limit that the attempt passed, if any; `final`: after its end, whatever the pace."""
        if self._breach is None and self.fence is not None:
            self._breach = self.fence.breach() or self.disk.breach(now=final)
        return self._breach

    def kill(self) -> None:
        """End every process of the attempt, also those that left its session or its group."""
        if self.fence is None:
            return
        self.fence.kill()
        deadline = time.monotonic() + KILL_WITHIN_S
        while (left := self._stragglers()) and time.monotonic() < deadline:
            self.fence.ended |= left
            signal_all(left, SIGKILL)
            time.sleep(0.005)
        reap(self.fence.ended - {self.fence.leader.pid if self.fence.leader else 0})

    def close(self) -> None:
        """After the end: nothing stays but, where something could not be ended, the record."""
        self.kill()
        if self.fence is None or (self.fence.remove() and not self._stragglers()):
            records.forget(self.node, self.job.pk, self.job.epoch)
        else:
            logger.error("something of job %s could not be ended", self.job.pk)
        shutil.rmtree(self.scratch, ignore_errors=True)
        processors.give_back(self._processors)
        self._processors = []
        records.LIVE.discard((self.job.pk, self.job.epoch))

    def describe(self) -> dict[str, Any]:
        """What holds the attempt, how much it may take and took, and where to read it."""
        if self.fence is None:
            return {}
        plan = self._plan(self.fence)
        disk = "measured every few seconds" if self.limits.disk_mib else "no limit"
        return {
            "backend": self.fence.backend,
            "limits": self.limits.as_json(),
            "enforced": {**self.fence.enforced(), "disk": disk, "gpus": "CUDA_VISIBLE_DEVICES"},
            "read": self.fence.where(),
            "rlimits": plan["rlimits"],
            "processors": self._processors or "all",
            "nice": plan["nice"],
            "oom_score_adj": plan["oom_score_adj"],
            "no_new_privs": True,
            "template": self.template,
            "session": self.fence.leader.pid if self.fence.leader else None,
            "scratch": str(self.scratch),
            "used": {**self.fence.used(), "disk_mib": self.disk.most_mib},
        }

    def _plan(self, fence: Fence) -> dict[str, Any]:
        """What the gate does before anything of the job runs."""
        rlimits = {"core": 0}
        if self.limits.disk_mib:
            rlimits["fsize"] = self.limits.disk_mib * MIB
        return {
            "enter": fence.entrances(),
            "rlimits": rlimits,
            "processors": self._processors,
            "oom_score_adj": min(1000, _own_oom_score() + OOM_SCORE),
            "nice": NICE_WHERE_POLLED if fence.backend == "polling" else 0,
            # Who leaves the session stays its descendant: cgroups know their members anyhow.
            "subreaper": fence.backend == "polling",
        }

    def _stragglers(self) -> set[int]:
        """Living processes with this attempt's signed mark in their environment."""
        leader = self.fence.leader if self.fence else None
        if leader is None:
            return set()
        return {
            row.pid
            for row in table.rows().values()
            if row.alive
            and row.started >= leader.started
            and variable(row.pid, records.VARIABLE) == self.marker
        }


def _own_oom_score() -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/self/oom_score_adj").read_text())
    return 0
