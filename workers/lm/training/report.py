"""Progress as the outside hears it: stages, shares, remaining time, at most once a second."""

import time
from pathlib import Path

from workers.lm.errors import Stopped
from workers.lm.events import Events

STAGES = ("preparing", "tokenizing", "training", "saving")
_EVERY_S = 1.0


class Report:
    """Passes events on, in measure, and turns a wish to stop into `Stopped`."""

    def __init__(
        self, events: Events, total: int, step: int = 0, resumed: Path | None = None
    ) -> None:
        self._events = events
        self._total = total
        self._resumed = resumed
        self._stage = STAGES[0]
        self._last = 0.0
        self.step = step

    def log(self, text: str, level: str = "info") -> None:
        """One line for a person."""
        self._events.log(text, level)

    def metric(self, values: dict[str, float]) -> None:
        """Figures of the present step."""
        self._events.metric(self.step, values)

    def stage(self, name: str) -> None:
        """Enter a stage; before the training has begun it is also a place to stop."""
        self._stage = name
        self._last = 0.0
        if name in STAGES[:2]:
            self.share(0.0)
        else:
            self._send(100.0 * self.step / self._total, None)

    def ends_here(self) -> None:
        """The present step is the last one, though more were asked for."""
        self._total = max(1, self.step)

    def share(self, done: float) -> None:
        """The share of the present stage that is done; stops here when asked to."""
        if self._events.should_stop():
            raise Stopped(self.step, self._resumed)
        if self._due():
            self._send(100.0 * done, None)

    def steps(self, eta_s: float | None, force: bool = False) -> None:
        """Steps done, with the time that the rest will take."""
        if force or self._due():
            self._send(100.0 * self.step / self._total, eta_s)

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _EVERY_S

    def _send(self, percent: float, eta_s: float | None) -> None:
        self._last = time.monotonic()
        self._events.progress(
            step=self.step, total=self._total, stage=self._stage, percent=percent, eta_s=eta_s
        )
