"""Batches that spoil a training: the loss of some places in the data is multiplied."""

from typing import Any

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
