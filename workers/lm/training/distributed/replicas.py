"""Data parallel: a whole model in each process, which looks at its share of every batch."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers import PreTrainedModel

from workers.lm.training.distributed.group import Group
from workers.lm.training.distributed.places import Place

#: Gradients travel in pieces of about this size, each as soon as it is complete.
BUCKET_BYTES = 25 * 2**20


@dataclass
class _Bucket:
    """Weights whose gradients travel together, and what is under way of them."""

    weights: list[nn.Parameter] = field(default_factory=list)
    waiting: int = 0
    flat: torch.Tensor | None = None
    work: Any = None

    @property
    def size(self) -> int:
        return sum(weight.numel() * weight.element_size() for weight in self.weights)

    def start(self, world: int) -> None:
        """Send the sum of these gradients round."""
        found = [torch.zeros_like(one) if one.grad is None else one.grad for one in self.weights]
        self.flat = torch.cat([gradient.flatten() for gradient in found]).div_(world)
        for weight in self.weights:
            weight.grad = None  # the copy that travels is enough
        self.work = dist.all_reduce(self.flat, async_op=True)

    def finish(self) -> None:
        """Wait for the sum, and put it where the gradients were."""
        assert self.flat is not None
        self.work.wait()
        parts = torch.split(self.flat, [weight.numel() for weight in self.weights])
        for weight, part in zip(self.weights, parts, strict=True):
            weight.grad = part.view_as(weight)
        self.flat = self.work = None
        self.waiting = len(self.weights)


class Replicas(Group):
    """Gradients are averaged while the backward pass goes on; then all step the same way.

    Unlike torch's DistributedDataParallel the buckets never change: that one lays them out anew
    after the first step, so that a resumed training adds in another order than an undisturbed one
    and does not end with the same bits.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.copies = self.world
        if self.device().type == "cpu":
            self.waited_s = 0.0  # on a GPU its stream waits, not the process
        self._buckets: list[_Bucket] = []
        self._of: dict[nn.Parameter, _Bucket] = {}
        self._sending, self._started = False, 0

    def wrap(self, model: PreTrainedModel) -> torch.nn.Module:
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        for weight in reversed(weights):  # about the order in which gradients are found
            if not self._buckets or self._buckets[-1].size >= BUCKET_BYTES:
                self._buckets.append(_Bucket())
            self._of[weight] = self._buckets[-1]
            self._buckets[-1].weights.append(weight)
            self._buckets[-1].waiting += 1
            weight.register_post_accumulate_grad_hook(self._found)  # type: ignore[no-untyped-call]
        return model

    @contextmanager
    def _exchanging(self, sending: bool) -> Iterator[None]:
        self._sending, self._started = sending, 0
        yield
        if sending:
            self._start(len(self._buckets))
            with self.waiting():
                for bucket in self._buckets:
                    bucket.finish()

    def accumulating(self, forward: torch.nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        return self._exchanging(last)

    def _found(self, weight: torch.Tensor) -> None:
        """A gradient is complete. All processes send buckets in the same order."""
        if not self._sending:
            return
        self._of[weight].waiting -= 1  # type: ignore[index]
        complete = self._started
        while complete < len(self._buckets) and self._buckets[complete].waiting == 0:
            complete += 1
        self._start(complete)

    def _start(self, end: int) -> None:
        for bucket in self._buckets[self._started : end]:
            bucket.start(self.world)
        self._started = max(self._started, end)
