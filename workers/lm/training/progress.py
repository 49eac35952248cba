"""What a training knows of its own course."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Progress:
    """The course so far; kept in checkpoints, so that one who goes on knows as much."""

    step: int = 0
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    seconds: float = 0.0
    #: Looks in a row without improvement, and the loss that counts as the best for that.
    waited: int = 0
    to_beat: float | None = None
    #: Batches passed over by going back: the zero-based step n takes batch n + offset.
    offset: int = 0
    skipped_steps: int = 0
    rewinds: int = 0
    #: Steps at which one of these happened, those of the last 1,000 steps.
    troubles: list[int] = field(default_factory=list)
    #: Losses that spikes are told by; empty where none are looked for.
    recent: list[float] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """The losses known so far."""
        found = {"loss": self.train_loss, "validation_loss": self.validation_loss}
        return {name: value for name, value in found.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """A copy as plain data."""
        return asdict(self)
