"""What a finished training hands back."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The outcome in figures, and the files of the model with size and SHA-256.

    `steps` are those taken, fewer than asked for if it `stopped_early` (1, else 0). The weights
    and `validation_loss` are those of `published_step`; `train_loss` is that of the last step.
    """

    output_dir: Path
    files: dict[str, dict[str, Any]]
    steps: int
    parameters: int
    vocab_size: int
    train_tokens: int
    validation_tokens: int
    tokens_seen: int
    train_loss: float
    validation_loss: float
    best_validation_loss: float
    best_step: int
    published_step: int
    stopped_early: int
    skipped_steps: int
    rewinds: int
    unigram_entropy: float
    seconds: float
    tokens_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "output_dir": str(self.output_dir)}
