"""Finds stop strings in streamed text without ever letting out the beginning of one."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Feeds text in, lets out what can no longer become a stop string.

    The match that ends first wins (the longer one where two end together), so the
    result does not depend on how the text was cut into tokens.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """Take more text; return what may be shown now."""
        if not self._stops or self.matched is not None:
            return text if self.matched is None else ""
        buffer = self._held + text
        found = self._first_match(buffer)
        if found is not None:
            start, self.matched = found
            self._held = ""
            return buffer[:start]
        keep = self._possible_start(buffer)
        self._held = buffer[len(buffer) - keep :]
        return buffer[: len(buffer) - keep]

    def flush(self) -> str:
        """The text has ended: what was held back is no stop string after all."""
        held, self._held = self._held, ""
        return held

    def _first_match(self, buffer: str) -> tuple[int, str] | None:
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            at = buffer.find(stop)
            if at >= 0 and (best is None or (at + len(stop), at) < best[:2]):
                best = (at + len(stop), at, stop)
        return None if best is None else (best[1], best[2])

    def _possible_start(self, buffer: str) -> int:
        """Length of the longest tail that begins some stop string."""
        longest = min(len(buffer), max(len(stop) for stop in self._stops) - 1)
        for size in range(longest, 0, -1):
            tail = buffer[-size:]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
