"""Tensor parallel: every process looks at the whole batch with its slice of every layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.compute.memory import read_shape
from workers.lm.training.distributed.divided import Divided, square_sum
from workers.lm.training.distributed.places import Place
from workers.lm.training.distributed.plans import check_cut, plan_of


@dataclass(frozen=True)
class _Cut:
    """Along which dimension a weight is cut, in how many groups that each give a slice."""

    dim: int
    groups: int = 1

    def slice(self, whole: torch.Tensor, rank: int, world: int) -> torch.Tensor:
        """The slice of one process."""
        parts = [group.chunk(world, self.dim)[rank] for group in whole.chunk(self.groups, self.dim)]
        return torch.cat(parts, self.dim).clone()

    def join(self, slices: Sequence[torch.Tensor]) -> torch.Tensor:
        """The whole of all slices."""
        groups = zip(*(one.chunk(self.groups, self.dim) for one in slices), strict=True)
        return torch.cat([part for group in groups for part in group], self.dim)


class Slices(Divided):
    """All processes compute the same step; weights that are not cut stay equal in all of them."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.data_rank, self.data_world = 0, 1
        self._cuts: dict[str, _Cut] = {}
        self._cut_weights: set[nn.Parameter] = set()

    def check(self, model: PreTrainedModel) -> None:
        values = model.config.to_dict()
        check_cut(values["model_type"], read_shape(values), self.world)

    def wrap(self, model: PreTrainedModel) -> torch.nn.Module:
        self.remember(model)
        plan = plan_of(model.config.model_type)
        for _name, module in _within_blocks(model, plan.halves):
            module.register_forward_pre_hook(_enter, with_kwargs=True)
            if hasattr(module, "split_size"):  # GPT-2 splits its fused product by this width
                module.split_size //= self.world
        for name, module in _within_blocks(model, plan.columns):
            groups = 3 if any(name.endswith(f".{one}") for one in plan.fused) else 1
            self._cut(name, module, "weight", _Cut(_outputs(module), groups))
            if module.bias is not None:
                self._cut(name, module, "bias", _Cut(0, groups))
            if isinstance(module, Conv1D):
                module.nf //= self.world
        for name, module in _within_blocks(model, plan.rows):
            self._cut(name, module, "weight", _Cut(1 - _outputs(module)))
            module.forward = partial(_rows_forward, module)
        return model

    def clip(self, weights: Sequence[nn.Parameter], longest: float) -> torch.Tensor:
        cut: list[torch.Tensor] = []
        kept: list[torch.Tensor] = []
        for weight in weights:
            if weight.grad is not None:
                (cut if weight in self._cut_weights else kept).append(weight.grad)
        square = square_sum(cut, self.device())
        dist.all_reduce(square)
        norm = (square + square_sum(kept, self.device())).sqrt()
        return self.shorten([*cut, *kept], norm, longest)

    def whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name not in self._cuts:
            return tensor
        mine = tensor.detach().contiguous()
        slices = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(slices, mine)
        return self._cuts[name].join(slices)

    def whole_shape(self, name: str, tensor: torch.Tensor) -> tuple[int, ...]:
        shape = list(tensor.shape)
        if name in self._cuts:
            shape[self._cuts[name].dim] *= self.world
        return tuple(shape)

    def part(self, name: str, weight: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        if name in self._cuts:
            whole = self._cuts[name].slice(whole, self.rank, self.world)
        return whole.to(self.device())

    def _cut(self, name: str, module: nn.Module, kind: str, cut: _Cut) -> None:
        weight: nn.Parameter = getattr(module, kind)
        mine = cut.slice(weight.detach(), self.rank, self.world)
        new = nn.Parameter(mine, requires_grad=weight.requires_grad)
        setattr(module, kind, new)
        self._cuts[f"{name}.{kind}"] = cut
        self._cut_weights.add(new)


def _within_blocks(model: nn.Module, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The modules that a plan names, in every block."""
    for name, module in model.named_modules():
        if any(name.endswith(f".{one}") for one in names):
            yield name, module


def _outputs(module: nn.Module) -> int:
    """The dimension of a product's weight that counts its outputs."""
    return 1 if isinstance(module, Conv1D) else 0


class _Enter(torch.autograd.Function):
    """The same for all on the way forward; on the way back, the sum of what all found."""

    @staticmethod
    def forward(_ctx: Any, states: torch.Tensor) -> torch.Tensor:
        return states.view_as(states)

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


class _Leave(torch.autograd.Function):
    """The sum of what all found on the way forward; the same for all on the way back."""

    @staticmethod
    def forward(_ctx: Any, states: torch.Tensor) -> torch.Tensor:
        states = states.contiguous().clone()
        dist.all_reduce(states)
        return states

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def _enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Before half a block: its input is the first argument, by place or by name."""
    enter: Any = _Enter.apply
    if args:
        return (enter(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": enter(kwargs["hidden_states"])}


def _rows_forward(module: Any, states: torch.Tensor) -> torch.Tensor:
    """A product cut by its inputs: the sum of all slices' products, and the bias once."""
    weight = module.weight.t() if isinstance(module, Conv1D) else module.weight
    leave: Any = _Leave.apply
    product: torch.Tensor = leave(functional.linear(states, weight))
    return product if module.bias is None else product + module.bias
