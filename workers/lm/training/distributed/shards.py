"""Fully sharded: each process keeps a part of every weight, and borrows the rest layer by layer."""

import contextlib
import ctypes
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from workers.lm.training.distributed.divided import Divided, square_sum
from workers.lm.training.distributed.places import Place

#: From malloc.h, and from where on a freed tensor goes back to the system at once.
M_MMAP_THRESHOLD, LARGE = -3, 1 << 20


class Shards(Divided):
    """Weights, gradients and moments divided by rows; the batch is shared as with replicas."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        if self.device().type == "cpu":
            _give_memory_back()
        self._mesh = init_device_mesh(self.device().type, (self.world,))

    def wrap(self, model: PreTrainedModel) -> torch.nn.Module:
        self.remember(model)
        blocks = set(model._no_split_modules or ())
        for module in list(model.modules()):
            if type(module).__name__ in blocks:
                fully_shard(module, mesh=self._mesh)
        # What lies outside the blocks too is given back after each pass: a validation has no
        # backward pass that would do it, and whole weights must not be mistaken for parts.
        fully_shard(model, mesh=self._mesh, reshard_after_forward=True)
        return model

    def clip(self, weights: Sequence[torch.nn.Parameter], longest: float) -> torch.Tensor:
        gradients = [_local(weight.grad) for weight in weights if weight.grad is not None]
        square = square_sum(gradients, self.device())
        dist.all_reduce(square)
        return self.shorten(gradients, square.sqrt(), longest)

    def whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def whole_shape(self, name: str, tensor: torch.Tensor) -> tuple[int, ...]:
        return tuple(tensor.shape)

    def part(self, name: str, weight: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        assert isinstance(weight, DTensor)
        return distribute_tensor(
            whole.to(self.device()), weight.device_mesh, weight.placements, src_data_rank=None
        )


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _give_memory_back() -> None:
    """Keep glibc from keeping what large tensors held.

    By itself it raises the size from which it does, up to 32 MiB; whole weights then come and go
    within a heap that never shrinks, and a process took twice the memory of its parts.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # another C library has no such setting
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
