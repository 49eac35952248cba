"""Looks at the processes of an installation several times a second, and at nothing of its own."""

import contextlib
import re
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.site import ChaosSite

EVERY_S = 0.2
CHILD = re.compile(rb"workers\.child\0[^\0]*/job-(\d+)/a(\d+)\0")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look: when, the children (job, epoch) -> pid, the web process, ready replicas."""

    at: float
    children: dict[tuple[int, int], int]
    web: int
    replicas: frozenset[int]


@dataclass
class Watch:
    """A thread that looks until it is closed."""

    site: ChaosSite
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=20_000))
    #: two living children of one job, seen twice in a row
    overlaps: list[str] = field(default_factory=list)
    #: (job, epoch) -> pids that ran it
    runs: dict[tuple[int, int], set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._suspects: set[tuple[int, ...]] = set()
        self._ready: frozenset[int] = frozenset()
        self._truth = type(self.site.truth)(lambda: self.site.stack.addresses()["DATABASE_URL"])
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._truth.close()

    def between(self, begun: float, ended: float) -> list[Sample]:
        return [sample for sample in list(self.samples) if begun <= sample.at <= ended]

    def _look(self) -> None:
        rounds = 0
        while not self._over.wait(EVERY_S):
            children = running_children(self.site.stack.data_dir)
            self._compare(children)
            if rounds % 3 == 0:
                self._ask()
            rounds += 1
            alive = {job for job, _ in children}
            with contextlib.suppress(OSError, ValueError, KeyError):
                lives = self.site.pid("web") if answers(self.site.stack.port) else 0
                self.samples.append(
                    Sample(
                        at=time.monotonic(), children=children, web=lives,
                        replicas=self._ready & alive,
                    )
                )  # fmt: skip

    def _compare(self, children: dict[tuple[int, int], int]) -> None:
        epochs: dict[int, list[int]] = {}
        for (job, epoch), pid in children.items():
            self.runs.setdefault((job, epoch), set()).add(pid)
            epochs.setdefault(job, []).append(epoch)
        twice = {(job, *sorted(found)) for job, found in epochs.items() if len(found) > 1}
        for job, *found in twice & self._suspects:
            text = f"job {job}: attempts {found} ran at once"
            if text not in self.overlaps:
                self.overlaps.append(text)
        self._suspects = twice

    def _ask(self) -> None:
        """Jobs of the replicas that are ready; the last answer stands while nobody answers."""
        query = "SELECT job_id FROM deployments_replica WHERE state = 'ready'"
        with contextlib.suppress(Exception):
            rows = self._truth.rows(query, patience_s=0)
            self._ready = frozenset(int(row["job_id"]) for row in rows if row["job_id"])


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def running_children(data_dir: Path) -> dict[tuple[int, int], int]:
    """(job, epoch) -> pid of the children that live now."""
    folder, found = str(data_dir).encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            if folder in words and (match := CHILD.search(words)):
                status = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if status not in (b"Z", b"X"):
                    key = (int(match.group(1)), int(match.group(2)))
                    found[key] = int(process.name)
        except OSError:
            continue
    return found
