"""Linear layers as a server wants them: neighbours fused, weights packed once for the processor.

Layers that read the same input (query, key and value; gate and up) become one product. On a
processor weights are laid out as oneDNN's kernels want them, and 8-bit layers compute with its
8-bit kernels. Numbers are those of the plain layers, apart from the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.int8 import Int8Linear, quantise_rows

from .few_rows import (
    INT8_ROWS,
    MOST_BYTES,
    PLAIN_ROWS,
    Product,
    int8_product,
    plain_product,
    replace_norms,
)
from .native import kernels

#: Children of one module that are called with the same tensor.
FUSED = {
    "qkv_fused": ("q_proj", "k_proj", "v_proj"),
    "gate_up_fused": ("gate_proj", "up_proj"),
}
#: Rows the layout is made for; any number of rows can be computed with it.
_TYPICAL_ROWS = 16
#: Below so many weights the call costs more than the layout saves.
_WORTH_PACKING = 2**17
#: For a single row oneDNN takes a path through 8-bit layers of up to 256 outputs that is up to a
#: hundred times slower than for two rows.
_NARROW = 512


class ServingLinear(nn.Module):
    """y = x Wᵀ + b over packed weights.

    `weight` has the shape [out, in] of the whole and no memory of its own where the packed form
    is another. `slices` says which outputs were whose before layers were fused.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        product: Product,
        dtype: torch.dtype,
        slices: dict[str, tuple[int, int]] | None = None,
        *,
        own_kernels: bool = False,
    ) -> None:
        super().__init__()
        self.own_kernels = own_kernels
        self.out_features, self.in_features = shape
        self.weight = torch.zeros(1, dtype=dtype).expand(*shape)
        self.slices = slices or {}
        self._product = product

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._product(x)


class Part(nn.Module):
    """One of the layers that were fused: its columns of the product that all of them share.

    Whoever is called first with a tensor has it computed for all; another tensor is another
    product, so that the numbers never depend on who is called with what.
    """

    def __init__(self, shared: Shared, start: int, stop: int, *, last: bool) -> None:
        super().__init__()
        self._shared = shared
        self._start, self._stop, self._last = start, stop, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = self._shared.of(x, forget=self._last)
        return whole[..., self._start : self._stop]


class Shared:
    """The newest product of a fused layer, and of what it was."""

    def __init__(self, fused: nn.Module) -> None:
        self._fused = fused
        self._input: torch.Tensor | None = None
        self._output: torch.Tensor | None = None

    def of(self, x: torch.Tensor, *, forget: bool) -> torch.Tensor:
        """The product of x, which is kept unless nobody else is going to ask for it."""
        output = self._output if x is self._input else None
        if output is None:
            output = self._fused(x)
        self._input, self._output = (None, None) if forget else (x, output)
        return output


@contextmanager
def called_layers(model: PreTrainedModel) -> Iterator[set[nn.Module]]:
    """Which linear layers are called meanwhile: code may also reach for weights by itself."""
    called: set[nn.Module] = set()
    hooks = [
        module.register_forward_hook(lambda module, *ignored: called.add(module))
        for module in model.modules()
        if _is_plain(module)
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def pack(model: PreTrainedModel, called: set[nn.Module]) -> int:
    """Fuse and pack the plain linear layers among these, in place; how many products are left.

    Layers of other classes stay as they are, so do those that something is attached to.
    """
    count = 0
    library = _library(model, called)
    if library is not None:
        replace_norms(model, library)
    for parent in list(model.modules()):
        for name, members in FUSED.items():
            rows = [getattr(parent, member, None) for member in members]
            if all(_is_plain(row) and row in called for row in rows) and _fit_together(rows):
                _fuse(parent, name, members, rows, library)
                count += 1
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _is_plain(child) and child in called:
                setattr(parent, name, _packed([child], library))
                count += 1
    return count


def _library(model: PreTrainedModel, called: set[nn.Module]) -> Any:
    """Kernels of our own for few rows, None where they are not to be used.

    They work on one thread, and on a layout of their own beside the one for many rows.
    """
    weights: list[Any] = [module.weight for module in called]
    total = sum(weight.numel() * weight.element_size() for weight in weights)
    if model.device.type != "cpu" or torch.get_num_threads() > 1 or total > MOST_BYTES:
        return None
    return kernels()


def has_own_kernels(model: PreTrainedModel) -> bool:
    """Whether any of its layers computes few rows with kernels of our own."""
    return any(isinstance(one, ServingLinear) and one.own_kernels for one in model.modules())


def _is_plain(module: Any) -> bool:
    if type(module) not in (nn.Linear, Conv1D, Int8Linear):
        return False
    return not (module._forward_hooks or module._forward_pre_hooks)


def _fit_together(rows: list[Any]) -> bool:
    return len({type(row) for row in rows}) == 1 and len({_shape(row)[1] for row in rows}) == 1


def _shape(module: Any) -> tuple[int, int]:
    """(out, in)."""
    out, width = module.weight.shape
    return (width, out) if isinstance(module, Conv1D) else (out, width)


def _fuse(
    parent: nn.Module, name: str, members: tuple[str, ...], rows: list[Any], library: Any
) -> None:
    slices, at = {}, 0
    for member, row in zip(members, rows, strict=True):
        slices[member] = (at, at + _shape(row)[0])
        at = slices[member][1]
    fused = _packed(rows, library, slices)
    setattr(parent, name, fused)
    shared = Shared(fused)
    for member, (start, stop) in slices.items():
        setattr(parent, member, Part(shared, start, stop, last=member == members[-1]))


def _packed(
    rows: list[Any], library: Any, slices: dict[str, tuple[int, int]] | None = None
) -> ServingLinear:
    """One layer that computes all of these."""
    bias = _biases(rows)
    shape = (sum(_shape(row)[0] for row in rows), _shape(rows[0])[1])
    if isinstance(rows[0], Int8Linear):
        weight = torch.cat([row.weight for row in rows])
        scale = torch.cat([row.scale for row in rows])
        product = _int8(weight, scale, bias)
        own = library is not None and weight.device.type == "cpu"
        if own:
            few = int8_product(library, weight, scale, bias)
            product = _by_rows(few, INT8_ROWS, product)
        return ServingLinear(shape, product, torch.float32, slices, own_kernels=own)
    weight = torch.cat([_weight(row) for row in rows]) if len(rows) > 1 else _weight(rows[0])
    product = _plain(weight, bias)
    own = library is not None and weight.dtype == torch.float32 and weight.device.type == "cpu"
    if own:
        product = _by_rows(plain_product(library, weight, bias), PLAIN_ROWS, product)
    return ServingLinear(shape, product, weight.dtype, slices, own_kernels=own)


def _by_rows(few: Product, most: int, many: Product) -> Product:
    def product(x: torch.Tensor) -> torch.Tensor:
        return few(x) if x.numel() <= most * x.shape[-1] else many(x)

    return product


def _weight(row: Any) -> torch.Tensor:
    found: torch.Tensor = row.weight.data
    return found.t().contiguous() if isinstance(row, Conv1D) else found


def _biases(rows: list[Any]) -> torch.Tensor | None:
    """Of all outputs; zeros where one layer has none and another has."""
    found = [row.bias for row in rows]
    if all(bias is None for bias in found):
        return None
    return torch.cat([
        row.weight.new_zeros(_shape(row)[0], dtype=torch.float32) if bias is None else bias.data
        for row, bias in zip(rows, found, strict=True)
    ])  # fmt: skip


def _plain(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    """A product of fp32, bf16 or fp16."""
    small = weight.numel() < _WORTH_PACKING
    if weight.device.type != "cpu" or small or not can_pack(weight.dtype):
        return lambda x: functional.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
    linear = torch.ops.mkldnn._linear_pointwise.default

    def product(x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = linear(x, packed, bias, "none", [], "")
        return out

    return product


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN's kernels of this machine take such weights."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _int8(weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> Product:
    """Inputs are rounded row by row, the product of whole numbers is exact."""
    if weight.device.type != "cpu":
        plain = Int8Linear(weight, scale, bias)
        return plain.forward
    packed = torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)
    zeros = torch.zeros(weight.shape[0], dtype=torch.int32)
    weight_rows = weight.shape[0]
    linear = torch.ops.onednn.qlinear_pointwise.default

    def product(x: torch.Tensor) -> torch.Tensor:
        whole, steps = quantise_rows(x.reshape(-1, x.shape[-1]))
        rows = whole.shape[0]
        if rows == 1 and weight_rows <= _NARROW:
            whole = whole.repeat(2, 1)
        out: torch.Tensor = linear(
            whole, 1.0, 0, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        out = out[:rows]
        out *= steps
        if bias is not None:
            out += bias
        return out.view(*x.shape[:-1], -1)

    return product
