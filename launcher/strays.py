"""Finds and ends processes that a killed launcher left behind, before a new one starts."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from launcher import linux
from launcher.child import Child
from launcher.state import read_json, write_private_json

_POLL_S = 0.05


def remember(path: Path, children: Iterable[Child]) -> None:
    """Write down what runs: the start time makes sure that a pid is not somebody else's."""
    running = {
        child.spec.name: [child.pid, linux.start_ticks(child.pid), int(child.spec.orphan_signal)]
        for child in children
        if child.pid
    }
    with contextlib.suppress(OSError):  # a full disk must not stop the supervisor
        write_private_json(path, running)


def end_all(path: Path, *, grace_s: float) -> list[str]:
    """Wait for what a killed launcher left (the kernel told it to end), then kill the rest.

    Returns the names of those that had to be killed.
    """
    left = {}
    for name, (pid, ticks, signum) in read_json(path).items():
        if ticks is not None and linux.start_ticks(pid) == ticks and not _is_zombie(pid):
            left[name] = (pid, ticks)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)
    deadline = time.monotonic() + grace_s
    while left and time.monotonic() < deadline:
        left = {n: (p, t) for n, (p, t) in left.items() if _lives(p, t)}
        time.sleep(_POLL_S)
    for pid, _ in left.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return list(left)


def _lives(pid: int, ticks: int) -> bool:
    return linux.start_ticks(pid) == ticks and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
            == "Z"
        )
    except OSError:
        return True
