"""How the processes of one training work together; here the simplest way, with one process."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from workers.lm.data.batches import Batch
from workers.lm.families.lora import restore_weights, weights_writer
from workers.lm.training.gathered import Gathered
from workers.lm.training.optimizer import optimizer_tensors, restore_optimizer

Tensors = dict[str, torch.Tensor]


class Alone:
    """One process that holds everything. What is said of all processes is said of it.

    Other ways to train derive from it. Every method but `no_sync` and `share` may wait for the
    other processes, so all must call the same ones in the same order.
    """

    rank, world = 0, 1
    #: Which share of each batch this process takes, of how many.
    data_rank, data_world = 0, 1
    #: Whole copies of weights, gradients and moments that all processes hold together.
    copies = 1
    #: On so many machines; and whether this process is the first of those on its machine.
    nodes, is_first_here = 1, True
    #: Whether this process can compute with the model by itself.
    holds_all = True
    #: Seconds that this process has waited for others within steps, where that can be told.
    waited_s: float | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a model that cannot be divided; raises InvalidTraining."""

    def wrap(self, model: PreTrainedModel) -> torch.nn.Module:
        """Divide the model; what is returned is what forward passes of the training go through."""
        return model

    def accumulating(self, forward: torch.nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around a part of a batch: only after the `last` one need gradients be exchanged."""
        return nullcontext()

    def share(self, batch: Batch) -> tuple[Batch, int]:
        """This process's rows of a batch, and 0 if they only keep the others company, else 1."""
        return batch, 1

    def total(self, *values: float) -> list[float]:
        """The sums over all shares of the data."""
        return list(values)

    def mean(self, figures: torch.Tensor) -> torch.Tensor:
        """The mean over all shares of the data, element by element."""
        return figures

    def clip(self, weights: Sequence[torch.nn.Parameter], longest: float) -> torch.Tensor:
        """Shorten the gradient to `longest`; its length before."""
        return clip_grad_norm_(weights, longest)

    def any(self, flag: bool) -> bool:
        """Whether it is so for any process."""
        return flag

    def everyones(self, value: Any) -> list[Any]:
        """What each process gives, by rank, at the main process; nothing elsewhere."""
        return [value]

    def of_main(self, value: Any) -> Any:
        """What the main process gives, with all."""
        return value

    def after_main(self) -> None:
        """The main process has come here; the others wait for it, however long it takes."""

    def after_firsts(self) -> None:
        """The first process of each machine has come here; all wait, however long it takes."""

    def save_model(self, model: PreTrainedModel, folder: Path) -> None:
        """Write the whole model as a folder that transformers loads; only at the main process."""
        weights_writer(model)(folder)

    def give_model(self, model: PreTrainedModel) -> None:
        """While the main process is in `save_model`: hand it what it lacks."""

    def restore_model(self, model: PreTrainedModel, folder: Path) -> None:
        """Put the weights back that `save_model` wrote, the same call in every process."""
        restore_weights(model, folder)

    def optimizer_tensors(
        self, model: PreTrainedModel, optimizer: torch.optim.Optimizer
    ) -> Tensors | Gathered:
        """The whole optimiser's moments by weight."""
        return optimizer_tensors(model, optimizer)

    def restore_optimizer(
        self, model: PreTrainedModel, optimizer: torch.optim.Optimizer, path: Path
    ) -> None:
        """Put the moments back from a file of the whole; KeyError if they are of another model."""
        restore_optimizer(model, optimizer, load_file(path))


def clip_coefficient(norm: torch.Tensor, longest: float) -> torch.Tensor:
    """What gradients are multiplied with, as `clip_grad_norm_` does."""
    if math.isinf(longest):
        return torch.ones_like(norm)
    return torch.clamp(longest / (norm + 1e-6), max=1.0)
