"""Work that is not generation, done on the engine's thread one piece between two steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .errors import QueueFull, ServingError

_MOST = 64


class Errand(Protocol):
    """Something that takes several pieces. Both are called on the engine's thread."""

    def piece(self) -> bool:
        """Do the next piece; False where that was the last one. What it raises ends it."""
        ...

    def fail(self, error: Exception) -> None:
        """It ends without a result."""
        ...


class Errands:
    """A bounded queue; each errand gets one piece in turn, so a long one delays no short one."""

    def __init__(self, nudge: Callable[[], None], *, most: int = _MOST) -> None:
        self._nudge = nudge
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Errand] = deque()
        self._closed: ServingError | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, errand: Errand) -> None:
        """Queue it; from any thread. Raises QueueFull, or what `close` was given."""
        with self._lock:
            if self._closed is not None:
                raise self._closed
            if len(self._waiting) >= self._most:
                raise QueueFull(len(self._waiting), 1)
            self._waiting.append(errand)
        self._nudge()

    def run_piece(self) -> None:
        """One piece of the errand whose turn it is; on the engine's thread."""
        if not self._waiting:
            return
        errand = self._waiting.popleft()
        try:
            if errand.piece():
                self._waiting.append(errand)
        except Exception as error:
            errand.fail(error)

    def close(self, error: ServingError) -> None:
        """Nothing more is done: what waits fails, and what comes is refused."""
        with self._lock:
            self._closed = error
            left = list(self._waiting)
            self._waiting.clear()
        for errand in left:
            errand.fail(error)
