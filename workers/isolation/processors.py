"""Which processors an attempt may use: those with the fewest claims, as many as it asks for.

Kept to its own, a job with many threads disturbs nobody else's caches and turns, and its libraries
see as many processors as it asked for; that needs no control group. A job that asks for none, or
for all, may use every one.
"""

import math
import os
import threading


class Processors:
    """The claims of this worker's attempts."""

    def __init__(self, numbers: set[int] | None = None) -> None:
        self._numbers = sorted(os.sched_getaffinity(0) if numbers is None else numbers)
        self._claims = dict.fromkeys(self._numbers, 0)
        self._lock = threading.Lock()

    def take(self, cpus: float) -> list[int]:
        """Enough processors for `cpus`; empty: every one."""
        count = math.ceil(cpus)
        if not 0 < count < len(self._numbers):
            return []
        with self._lock:
            mine = sorted(self._numbers, key=lambda number: (self._claims[number], number))[:count]
            for number in mine:
                self._claims[number] += 1
        return sorted(mine)

    def give_back(self, mine: list[int]) -> None:
        """The attempt has ended."""
        with self._lock:
            for number in mine:
                self._claims[number] -= 1


processors = Processors()
