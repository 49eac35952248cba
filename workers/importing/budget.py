"""How much an archive may unpack to."""

from collections.abc import Callable
from typing import IO

from workers.scanning.limits import MIB


class Bomb(Exception):
    """It unpacks to more than it may."""


class Counted:
    """Reads a member, and stops it where it becomes a bomb."""

    def __init__(self, stream: IO[bytes], allow: Callable[[int], None]) -> None:
        self._stream, self._allow = stream, allow

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, MIB) if size > 0 else MIB)
        self._allow(len(data))
        return data


def allowance(budget: int) -> Callable[[int], None]:
    used = [0]

    def allow(more: int) -> None:
        used[0] += more
        if used[0] > budget:
            raise Bomb(f"It unpacks to more than {budget:,} bytes.")

    return allow
