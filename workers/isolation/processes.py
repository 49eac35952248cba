"""Processes as /proc shows them: whose children they are, since when, and how much they hold."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One process at one moment. `pid` and `started` together name it for ever (until a boot)."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: int
    threads: int
    rss: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


def process(pid: int) -> Process | None:
    """The process, or None when there is none (any more)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:  # noqa: PTH123 (read hundreds of times)
            text = stream.read()
    except OSError:
        return None
    # The command name may hold anything, also spaces and brackets: fields begin after the last one.
    fields = text.rpartition(b")")[2].split()
    return Process(
        pid=pid,
        state=fields[0].decode(),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        threads=int(fields[17]),
        rss=int(fields[21]) * PAGE,
    )


class Table:
    """All processes of the machine; one reading serves every attempt of this worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -1e9
        self._rows: dict[int, Process] = {}

    def rows(self, max_age_s: float = 0) -> dict[int, Process]:
        """The processes by pid, read now unless a reading is young enough."""
        with self._lock:
            if time.monotonic() - self._read_at > max_age_s or not max_age_s:
                with os.scandir("/proc") as entries:
                    pids = [int(entry.name) for entry in entries if entry.name.isdecimal()]
                self._rows = {row.pid: row for row in map(process, pids) if row is not None}
                self._read_at = time.monotonic()
            return self._rows


table = Table()


def descendants(rows: dict[int, Process], roots: Iterable[int]) -> set[int]:
    """The roots and all that descend from them."""
    children: dict[int, list[int]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in rows]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def proportional_bytes(pid: int) -> int:
    """Memory of a process with shared pages divided among those that share them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    row = process(pid)
    return row.rss if row else 0


def variable(pid: int, name: str) -> str:
    """The value a process was started with for one environment variable, or empty."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    start = f"{name}=".encode()
    return next(
        (w[len(start) :].decode(errors="replace") for w in words if w.startswith(start)), ""
    )


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """To each that still lives and is ours."""
    for pid in pids:
        if pid > 1 and pid != os.getpid():
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue


def reap(pids: Iterable[int]) -> None:
    """Let go of the dead among these that became our children: where we are the first process of a
    container, nobody else does. Never for a process that somebody else waits for."""
    for pid in pids:
        row = process(pid)
        if row is not None and row.parent == os.getpid() and not row.alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def boot_id() -> str:
    """Changes at every boot of the machine: process numbers and start times begin anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """In which numbering of processes we live; containers have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
