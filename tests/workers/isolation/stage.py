"""Real children in real cages, without a database: a job row is only carried, never stored."""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from models_app.jobs.models import Job
from tests.waiting import WAIT_S
from tests.workers.conftest import wait_for
from workers.isolation import probe
from workers.isolation.cage import Cage
from workers.isolation.processes import process
from workers.process import ChildProcess

NODE = "caged-node"


def offered() -> list[str]:
    """The fences that this machine lets us make."""
    from workers.isolation import cgroup1, cgroup2

    found = [name for name, one in (("cgroup2", cgroup2), ("cgroup1", cgroup1)) if one.find_bases()]
    return [*found, "polling"]


OFFERED = offered()


def each_fence(function):
    """Run a test once for each fence; those that cannot be had say so."""
    rows = [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in OFFERED, reason=f"this machine does not let us make a {name} fence"
            ),
        )
        for name in ("cgroup2", "cgroup1", "polling")
    ]
    return pytest.mark.parametrize("fence", rows, indirect=True)(function)


class Stage:
    """One attempt at a self-test: its folder, its cage, its process."""

    number = 0

    def __init__(self, root: Path, *, epoch: int = 1, **asks) -> None:
        Stage.number += 1
        self.job = Job(pk=10_000 * os.getpid() + Stage.number, epoch=epoch, kind="self_test")
        self.job.node_name = NODE
        for name, value in asks.items():
            setattr(self.job, name, value)
        self.folder = root / f"job-{self.job.pk}" / f"a{epoch}"
        self.work = self.folder.parent / "work"
        self.folder.mkdir(parents=True)
        self.cage = Cage(self.job, self.folder, measured=(self.work, root / "checkpoints"))
        self.child = ChildProcess(self.folder, self.cage)
        self.root = root

    def start(self, *, keep: Sequence[int] = (), **params) -> "Stage":
        self.child.start(
            {
                "kind": "self_test",
                "params": {"steps": 10_000, "step_ms": 20, "checkpoint_every": 10**6, **params},
                "inputs": {},
                "epoch": self.job.epoch,
                "work_dir": str(self.work),
                "checkpoint_dir": str(self.root / "checkpoints"),
                "output_dir": str(self.folder / "output"),
                "watchdog_s": 60,
            },
            keep=keep,
        )
        return self

    def events(self, kind: str) -> list[dict]:
        """What the child has said so far, of one kind."""
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith('{"t"')]
        return [event for event in found if event["t"] == kind]

    def steps(self) -> int:
        return max((event["step"] or 0 for event in self.events("progress")), default=0)

    def at_step(self, number: int) -> "Stage":
        def look() -> bool:
            assert process(self.child.pid) is not None, self.said()
            return self.steps() >= number

        wait_for(look, f"step {number}")
        return self

    def said(self) -> str:
        return (self.folder / "events.jsonl").read_text()[-2000:]

    def watch(self, timeout_s: float = WAIT_S):
        """As a supervisor does: look, until there is a breach or the child has ended."""
        deadline = time.monotonic() + timeout_s
        while self.child.running(0.05):
            if self.cage.breach():
                self.child.kill()
            assert time.monotonic() < deadline, f"neither a breach nor an end: {self.said()}"
        return self.cage.breach(final=True)

    def daemon(self) -> int:
        """The process that it left in another session."""

        def look() -> int:
            texts = [event["text"] for event in self.events("log")]
            return next((int(t.split()[1]) for t in texts if t.startswith("daemon ")), 0)

        return int(wait_for(look, "the daemon is named"))

    def end(self) -> None:
        self.child.kill()
        self.cage.close()


def lives(pid: int) -> bool:
    found = process(pid)
    return found is not None and found.alive


def end_for_sure(pids) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def reprobe() -> None:
    """Settings have changed: look anew at what can be had."""
    probe.bases.cache_clear()
