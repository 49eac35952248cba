"""Whether the cache can hold those who run: what they need now and a little ahead.

Nobody's longest answer is set aside for him. Where the cache runs out someone who runs gives way
(`Scheduler.victim`), and goes on later.
"""

from __future__ import annotations

from collections.abc import Callable

#: Positions of each sequence for which there must be room as well when another one begins.
AHEAD = 64


class Room:
    """Asks the cache no more often than it has to: what it has said holds until it is asked again.

    `ask` says whether it can hold so many slots of that length, and holds them ready from then on.
    """

    def __init__(self, ask: Callable[[int, int], bool], context_length: int) -> None:
        self._ask = ask
        self._longest = context_length
        self._promised = (0, 0)

    def holds(self, slots: int, length: int, *, ahead: int = 0) -> bool:
        """Whether there is room for so many slots, each `length` and `ahead` positions long."""
        wanted = self._cut(length + ahead)
        if slots <= self._promised[0] and wanted <= self._promised[1]:
            return True
        # A little more, where that is to be had: else the cache would be asked for each token.
        for size in dict.fromkeys((self._cut(length + max(ahead, AHEAD)), wanted)):
            if self._ask(slots, size):
                self._promised = (slots, size)
                return True
        return False

    def _cut(self, length: int) -> int:
        return min(length, self._longest) if self._longest else length
