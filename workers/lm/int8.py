"""Models with 8-bit weights: quantising, loading, and the layers that compute with them.

Each output channel of a layer has a scale of its own. On a processor the inputs of a layer are
rounded to 8 bits as well, token by token: what a request gets never depends on what else is in the
batch, and the product of whole numbers is exact.
"""

from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.errors import UnusableModel
from workers.lm.formats.int8 import FILE

_auto_model: Any = AutoModelForCausalLM
_SMALLEST = 1e-12


def quantise(weight: torch.Tensor, *, by_column: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """([out, in] of int8, scale of each row); a weight that is [in, out] is turned around."""
    rows = (weight.t() if by_column else weight).float()
    scales = (rows.abs().amax(dim=1) / 127).clamp_min(_SMALLEST)
    return (rows / scales[:, None]).round_().clamp_(-127, 127).to(torch.int8), scales


def quantise_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of a layer, [rows, in]: (int8 of the same shape, step of each row as [rows, 1])."""
    steps = x.abs().amax(dim=-1, keepdim=True).div_(127).clamp_min_(_SMALLEST)
    return (x / steps).round_().to(torch.int8), steps


class Int8Linear(nn.Module):
    """A linear layer, also in place of GPT-2's Conv1D."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            out = functional.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
            return out if self.bias is None else out + self.bias
        whole, steps = quantise_rows(x.reshape(-1, x.shape[-1]))
        out = torch._int_mm(whole, self.weight.t()).to(x.dtype).mul_(steps).mul_(self.scale)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """Rows of an embedding, made whole when they are looked up."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.weight[ids].to(self.scale.dtype) * self.scale[ids].unsqueeze(-1)


def module_weights(model: nn.Module) -> dict[str, str]:
    """Names of the weights that are quantised -> "row", or "column" where they are [in, out]."""
    found = {}
    for name, module in model.named_modules():
        if type(module) in (nn.Linear, nn.Embedding):
            found[f"{name}.weight"] = "row"
        elif isinstance(module, Conv1D):
            found[f"{name}.weight"] = "column"
    return found


def load_int8(folder: Path) -> PreTrainedModel:
    """A model that computes with 8-bit weights. Raises UnusableModel for anything incomplete."""
    try:
        tensors = load_file(folder / FILE)
    except (SafetensorError, OSError) as error:
        raise UnusableModel(f"{FILE} is damaged or not whole ({error}).") from error
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = cast(PreTrainedModel, _auto_model.from_config(config, trust_remote_code=False).float())
    # Tied weights were stored once, under the first of their names.
    stored = {id(value): key for key, value in reversed(list(model.named_parameters()))}
    homes = {
        f"{name}.weight": stored[id(module.weight)]
        for name, module in model.named_modules()
        if type(module) in (nn.Linear, nn.Embedding) or isinstance(module, Conv1D)
    }
    _plain(model, tensors, set(homes.values()))
    for name, home in homes.items():
        if home not in tensors or f"{home}.scale" not in tensors:
            raise UnusableModel(f"The weight {home} is missing from {FILE}.")
        _replace(model, name.removesuffix(".weight"), tensors[home], tensors[f"{home}.scale"])
    model.train(False)
    model.requires_grad_(False)
    return model


def _plain(model: nn.Module, tensors: dict[str, torch.Tensor], quantised: set[str]) -> None:
    """Fill in what is not quantised: norms and biases."""
    for name, parameter in model.named_parameters():
        if name in quantised:
            continue
        if name not in tensors or tensors[name].shape != parameter.shape:
            raise UnusableModel(f"The weight {name} is missing from {FILE} or has another shape.")
        if not bool(torch.isfinite(tensors[name]).all()):
            raise UnusableModel(f"The weights of {name} are not all finite numbers.")
        parameter.data = tensors[name].float()


def _replace(model: nn.Module, name: str, weight: torch.Tensor, scale: torch.Tensor) -> None:
    old = model.get_submodule(name)
    shape = old.weight.shape[::-1] if isinstance(old, Conv1D) else old.weight.shape
    if weight.dtype != torch.int8 or weight.shape != shape or scale.shape != shape[:1]:
        raise UnusableModel(f"The weight {name} has another type or shape than its layer.")
    new: nn.Module
    if isinstance(old, nn.Embedding):
        new = Int8Embedding(weight, scale)
    else:
        bias = getattr(old, "bias", None)
        new = Int8Linear(weight, scale, None if bias is None else bias.data)
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, leaf, new)
