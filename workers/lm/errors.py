"""What can go wrong in the engine room, in words that a person can act upon."""

from pathlib import Path
from typing import Any


class InvalidWork(ValueError):
    """The request cannot be carried out; `field` names the setting to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.field, self.message)


class InvalidTraining(InvalidWork):
    """A training request that is refused before any work."""


class InvalidEvaluation(InvalidWork):
    """An evaluation request that is refused before any work."""


def what_is_wrong(what: str) -> str:
    """Of a step whose `what` (loss, gradient, validation loss, or spike) cannot be used."""
    if what == "spike":
        return "the loss leapt far above that of the steps before"
    return f"the {what} is not a finite number"


class TrainingDiverged(RuntimeError):
    """The loss or the gradients stopped being numbers, or leapt; nothing was saved from it.

    `times` is how often that happened within 1,000 steps, where it may happen a few times.
    """

    def __init__(self, step: int, what: str, times: int = 0) -> None:
        often = f", {times} times within 1,000 steps" if times > 1 else ""
        super().__init__(
            f"Training diverged at step {step}: {what_is_wrong(what)}{often}. "
            "Lower learning_rate (a third of the present value is a good next try), "
            "lengthen warmup_steps or lower gradient_clip."
        )
        self.step, self.what, self.times = step, what, times

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step, self.what, self.times)


class Stopped(Exception):
    """The work was asked to stop and did so; `checkpoint` is where it can go on, if anywhere."""

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        kept = f"; the checkpoint is {checkpoint.name}" if checkpoint else ""
        super().__init__(f"Stopped at step {step}{kept}.")
        self.step = step
        self.checkpoint = checkpoint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step, self.checkpoint)


class RankLost(RuntimeError):
    """A process of a parallel training is gone or out of reach; all others were ended with it."""

    def __init__(self, rank: int, world: int, how: str, *, is_cut_off: bool = False) -> None:
        super().__init__(f"Process {rank} of {world} {how}.")
        self.rank = rank
        #: Others are gone, and it only could not go on without them.
        self.is_cut_off = is_cut_off


class CorruptCheckpoint(RuntimeError):
    """A checkpoint is incomplete or differs from what was written."""


class UnusableModel(RuntimeError):
    """A model folder that must not be loaded: keys or files missing, or weights not finite."""
