"""Orphaned descendants, which the kernel gives to the launcher: none may get lost or outlive it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection

from launcher import linux

#: In the environment of what we start for the user (a browser): it may outlive the stack.
LEAVE_ALONE = "SLIPWAY_LEAVE_ALONE"
_GRACE_S = 5

Known = Callable[[], Collection[int | None]]


def find(known: Collection[int | None]) -> list[int]:
    """Children of this process that it did not start itself."""
    return [
        pid
        for pid in linux.children_of(os.getpid())
        if pid not in known and not linux.has_in_environment(pid, LEAVE_ALONE)
    ]


def reap(known: Collection[int | None]) -> None:
    """Collect those that ended; our own are collected where they are kept."""
    if not linux.LINUX:
        return
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    for pid in find(known) if ended else ():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def end_all(known: Known, pump: Callable[[float], None]) -> None:
    """End them: their own signal first, then ours. `pump` keeps the rest going meanwhile."""
    deadline = time.monotonic() + _GRACE_S
    asked: set[int] = set()
    while found := find(known()):
        late = time.monotonic() > deadline
        for pid in found:
            if late or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        pump(0.05)
