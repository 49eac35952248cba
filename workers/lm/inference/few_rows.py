"""Layers over the kernels of our own: products of few rows, and norms.

A decoding step of few rows is bound by reading the weights once. oneDNN takes 20 to 35 µs for a
call whatever is in it, and 8-bit inputs are rounded by seven operations more; one kernel rounds,
multiplies and scales, and reads four streams of weights at the same time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from .recording import opaque

#: Most rows of one call; above that oneDNN's matrix kernels are faster.
INT8_ROWS, PLAIN_ROWS = 8, 4
_LANES = 16
#: A second layout of the weights is only kept where all of them together take no more than this.
MOST_BYTES = 2**30

Product = Callable[[torch.Tensor], torch.Tensor]


class _Int8Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weights", "scales", "offsets", "bias")),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("scratch", ctypes.c_void_p),
    )


class _PlainLayer(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


def int8_product(
    library: Any, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None
) -> Product:
    """[..., in] -> [..., out] for up to INT8_ROWS rows; the numbers are those of `Int8Linear`."""
    outputs, inputs = weight.shape
    width = -(-inputs // 4) * 4
    padded = functional.pad(weight, (0, width - inputs, 0, -outputs % _LANES))
    offsets = padded.sum(1, dtype=torch.int32) * -128
    laid = padded.view(-1, _LANES, width // 4, 4).permute(0, 2, 1, 3).contiguous()
    scales = scale.float().contiguous()
    scratch = torch.empty(INT8_ROWS * width, dtype=torch.uint8)
    layer = _Int8Layer(
        laid.data_ptr(), scales.data_ptr(), offsets.data_ptr(), _address(bias),
        inputs, outputs, scratch.data_ptr(),
    )  # fmt: skip
    kept = (laid, scales, offsets, bias, scratch, layer)
    return _product(library.int8_linear, ctypes.addressof(layer), outputs, kept)


def plain_product(library: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    """The same for weights of 32 bits and up to PLAIN_ROWS rows."""
    outputs, inputs = weight.shape
    padded = functional.pad(weight, (0, 0, 0, -outputs % _LANES))
    laid = padded.view(-1, _LANES, inputs).transpose(1, 2).contiguous()
    layer = _PlainLayer(laid.data_ptr(), _address(bias), inputs, outputs)
    kept = (laid, bias, layer)
    return _product(library.plain_linear, ctypes.addressof(layer), outputs, kept)


def _product(kernel: Any, layer: int, outputs: int, kept: Any) -> Product:
    def few_rows(x: torch.Tensor, kept: Any = kept) -> torch.Tensor:
        x = x.contiguous()
        shape = x.shape[:-1]
        out = torch.empty((*shape, outputs))
        kernel(layer, x.data_ptr(), shape.numel(), out.data_ptr())
        return out

    return lambda x: opaque(few_rows, x)


def _address(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class Norm(nn.Module):
    """An RMS norm in one call."""

    def __init__(self, library: Any, weight: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        self._kernel, self._eps = library.rms_norm, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return opaque(self._normed, x)

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        out = torch.empty(x.shape)
        width = x.shape[-1]
        self._kernel(
            x.data_ptr(), self.weight.data_ptr(), self._eps, x.numel() // width, width,
            out.data_ptr(),
        )  # fmt: skip
        return out


def replace_norms(model: PreTrainedModel, library: Any) -> int:
    """Every norm that is an RMS norm by its class's name and by its numbers; how many."""
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            norm = _norm_like(child, library)
            if norm is not None:
                setattr(parent, name, norm)
                count += 1
    return count


def _norm_like(module: Any, library: Any) -> Norm | None:
    if not type(module).__name__.endswith("RMSNorm") or module._forward_hooks:
        return None
    weight: Any = getattr(module, "weight", None)
    eps: Any = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    plain = isinstance(weight, torch.Tensor) and weight.dim() == 1 and isinstance(eps, float)
    if not plain or weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    norm = Norm(library, weight.data, eps)
    probe = torch.randn(3, weight.shape[0], generator=torch.Generator().manual_seed(2)) * 0.1
    close = torch.allclose(module(probe), norm(probe), rtol=1e-5, atol=1e-6)
    return norm if close else None
