"""What running work tells its surroundings, and the one question that it asks them."""

from pathlib import Path
from typing import Protocol


class Events(Protocol):
    """Given by the caller; the engine room knows nothing else of the world around it."""

    def log(self, text: str, level: str = "info") -> None:
        """One line for a person to read."""

    def metric(self, step: int, values: dict[str, float]) -> None:
        """Figures that belong to a step."""

    def progress(
        self,
        *,
        step: int,
        total: int,
        stage: str,
        percent: float,
        eta_s: float | None,
    ) -> None:
        """How far the work has come within its stage."""

    def checkpoint(
        self, *, step: int, path: Path, digest: str, size_bytes: int, metrics: dict[str, float]
    ) -> None:
        """A complete checkpoint lies on disk."""

    def sample(self, *, step: int, place: int, prompt: str, text: str) -> None:
        """What the model of this step writes after a prompt, the one of this place in its list."""

    def should_stop(self) -> bool:
        """Whether the work is to end at the next safe point; asked often, so it must be cheap."""
