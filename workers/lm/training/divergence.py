"""Steps that must not count: figures that are not finite, and losses that leap.

Whether a step counts is decided where it is computed and nothing is read back for it, for a device
would have to wait: AdamW's fused kernel is handed the verdict as it is handed that of a gradient
scaler, and changes nothing if it is 1. What was decided is read with the other figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from workers.lm.training.parallel import Alone
from workers.lm.training.progress import Progress
from workers.lm.training.spec import TrainSpec

#: A spike is told by the median of so many losses, of which half must be known.
WINDOW = 32
#: The budget is for so many steps.
WITHIN = 1_000


@dataclass(frozen=True)
class Reading:
    """Figures of a step, and what was wrong with it: loss, gradient or spike.

    `applied` is whether the weights were changed nevertheless.
    """

    number: int
    loss: float
    norm: float
    trouble: str | None
    applied: bool


class GoBack(Exception):
    """The training is to go back to a checkpoint before this step, and on with other batches."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"step {number}: {what}")
        self.number, self.what = number, what


@dataclass
class Pending:
    """Figures of steps not yet looked at; reading them each step would make a device wait."""

    first: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    verdicts: list[torch.Tensor] = field(default_factory=list)


class Judge:
    """Says of every step whether it counts, the same in all processes."""

    def __init__(self, spec: TrainSpec, parallel: Alone, device: torch.device) -> None:
        self._parallel, self._device = parallel, device
        self._skips = spec.on_divergence == "skip"
        self._factor = spec.spike_factor
        self._recent = torch.empty(0, device=device)
        self.remember(())

    def remember(self, recent: Sequence[float]) -> None:
        """Take the losses of the steps before from a checkpoint; unknown ones are infinite."""
        if self._factor:
            losses = [math.inf] * (WINDOW - len(recent)) + list(recent)
            self._recent = torch.tensor(losses, dtype=torch.float32, device=self._device)

    def recent(self) -> list[float]:
        """What `remember` takes."""
        return [loss for loss in self._recent.tolist() if math.isfinite(loss)]

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        pending: Pending,
        loss: torch.Tensor,
        norm: torch.Tensor,
    ) -> None:
        """Let the optimiser step unless the figures forbid it, and keep them to be read later.

        Where spikes are looked for, several processes first agree on the loss of all.
        """
        verdict = None
        if self._factor:
            loss = self._parallel.mean(loss)
            verdict = self._verdict(loss, norm)
        elif self._skips:
            verdict = torch.isfinite(norm).logical_not().float()
        if self._skips:
            optimizer.found_inf = verdict  # type: ignore[attr-defined]
        optimizer.step()
        pending.losses.append(loss)
        pending.norms.append(norm.detach())
        if self._factor and verdict is not None:
            pending.verdicts.append(verdict)

    def _verdict(self, loss: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        """1 for a step that must not count, else 0; only one that counts is remembered."""
        highest = self._factor * self._recent.median()
        counts = torch.isfinite(norm) & torch.isfinite(loss) & (loss <= highest)
        moved = torch.cat((self._recent[1:], loss.reshape(1)))
        self._recent = torch.where(counts, moved, self._recent)
        return counts.logical_not().float()

    def read(self, pending: Pending) -> list[Reading]:
        """What was found in the steps that nobody has looked at yet."""
        if not pending.losses:
            return []
        stacked = torch.stack(pending.losses)
        losses = (stacked if self._factor else self._parallel.mean(stacked)).tolist()
        norms = torch.stack(pending.norms).tolist()
        verdicts = (
            torch.stack(pending.verdicts).tolist()
            if self._factor
            else [float(not math.isfinite(norm)) for norm in norms]
        )
        rows = zip(losses, norms, verdicts, strict=True)
        return [self._reading(number, *row) for number, row in enumerate(rows, pending.first + 1)]

    def _reading(self, number: int, loss: float, norm: float, verdict: float) -> Reading:
        trouble = None
        if not math.isfinite(loss):
            trouble = "loss"
        elif not math.isfinite(norm):
            trouble = "gradient"
        elif verdict:
            trouble = "spike"
        return Reading(number, loss, norm, trouble, applied=not (self._skips and verdict))


def within_budget(spec: TrainSpec, progress: Progress, number: int) -> bool:
    """Count a trouble at a step; whether there may be as many."""
    near = [one for one in progress.troubles if abs(number - one) < WITHIN]
    progress.troubles = [*near, number]
    return len(progress.troubles) <= spec.divergence_budget
