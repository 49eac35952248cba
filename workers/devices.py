"""Which GPUs of this node are free; each belongs to at most one attempt."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Devices:
    """Hands out device numbers. Placement has made sure that there are enough."""

    def __init__(self, count: int, keep: "Devices | None" = None) -> None:
        self._lock: threading.Condition = keep._lock if keep else threading.Condition()
        self._taken: set[int] = keep._taken if keep else set()
        self.count = count

    @contextmanager
    def reserved(self, count: int) -> Iterator[list[int]]:
        """`count` devices for the time of the block; waits for an attempt that is just leaving."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._free()) >= min(count, self.count))
            mine = self._free()[:count]
            self._taken.update(mine)
        try:
            yield mine
        finally:
            with self._lock:
                self._taken.difference_update(mine)
                self._lock.notify_all()

    def _free(self) -> list[int]:
        return [number for number in range(self.count) if number not in self._taken]
