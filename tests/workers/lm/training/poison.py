"""Batches that spoil a training: the loss of some places in the data is multiplied."""

from typing import Any

from tests.workers.lm.recording import Recorder
from workers.lm.data.batches import Batches
from workers.lm.training import steps


def poison(monkeypatch: Any, *places: int, factor: float = float("nan")) -> list[int]:
    """Multiply the loss of these zero-based batches; returns the places of all steps taken."""
    taken: list[int] = []
    draw, loss = Batches.batch, steps.batch_loss

    def noted(self: Any, place: int) -> Any:
        taken.append(place)
        return draw(self, place)

    def spoilt(*args: Any) -> Any:
        found = loss(*args)
        return found * factor if taken[-1] in places else found

    monkeypatch.setattr(Batches, "batch", noted)
    monkeypatch.setattr(steps, "batch_loss", spoilt)
    return taken


class StopAfter(Recorder):
    """Asks to stop after so many steps, of which `taken` holds the places of the batches."""

    def __init__(self, taken: list[int], steps: int) -> None:
        super().__init__()
        self._taken, self._until = taken, len(taken) + steps

    def should_stop(self) -> bool:
        return len(self._taken) >= self._until
