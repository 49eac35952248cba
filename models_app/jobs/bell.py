"""Rings for nodes at most every GAP_S: the first at once, those that follow closely together."""

import threading
import time
from collections.abc import Callable

#: Under a stream of jobs a signal for each would cost more than the jobs; none waits longer.
GAP_S = 0.02


class Bell:
    """Counts what is to be told to whom, in this process."""

    def __init__(self, ring: Callable[[str, int], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._rung: dict[str, float] = {}
        #: What came within the gap; it is told by a timer, which is there while there is an entry.
        self._later: dict[str, int] = {}

    def push(self, name: str, count: int) -> None:
        """Ring `count` for `name`, now or within GAP_S."""
        with self._lock:
            if name in self._later:
                self._later[name] += count
                return
            wait = self._rung.get(name, 0.0) + GAP_S - time.monotonic()
            if wait > 0:
                self._later[name] = count
            else:
                self._rung[name] = time.monotonic()
        if wait > 0:
            # Not a daemon: a process that ends rings first.
            threading.Timer(wait, self._catch_up, [name]).start()
        else:
            self._ring(name, count)

    def _catch_up(self, name: str) -> None:
        with self._lock:
            count = self._later.pop(name)
            self._rung[name] = time.monotonic()
        self._ring(name, count)
