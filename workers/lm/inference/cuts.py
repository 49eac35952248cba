"""Which part of a layer a process has, where several processes hold the model together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

Span = tuple[int, int]


@dataclass(frozen=True)
class Cut:
    """Of a layer of `outputs` × `inputs` some of its outputs; where `sums` some of its inputs, and
    then everybody's results are added up.
    """

    outputs: int
    inputs: int
    spans: tuple[Span, ...]
    sums: bool

    def own(self, down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's part of two factors: `down` is [rank, inputs], `up` [outputs, rank]."""
        if self.sums:
            return torch.cat([down[:, first:last] for first, last in self.spans], dim=1), up
        return down, torch.cat([up[first:last] for first, last in self.spans])

    def whole(self, inner: torch.Tensor) -> torch.Tensor:
        """The product with `down`, from everybody's part of it. All processes have to call."""
        if self.sums:
            dist.all_reduce(inner)
        return inner


def cuts_of(model: Any) -> Mapping[str, Cut]:
    """By the layer's name in the whole model; none for a model in one process."""
    found: Mapping[str, Cut] = getattr(model, "layer_cuts", None) or {}
    return found
