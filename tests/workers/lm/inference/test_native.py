"""Kernels of our own: the numbers of torch's layers, where the processor has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from workers.lm.inference import native
from workers.lm.inference.few_rows import (
    INT8_ROWS,
    PLAIN_ROWS,
    Norm,
    int8_product,
    plain_product,
    replace_norms,
)
from workers.lm.int8 import Int8Linear, quantise

SHAPES = [(16, 64), (37, 70), (160, 3), (1, 16)]


@pytest.fixture(scope="module")
def library() -> object:
    found = native.kernels()
    if found is None:
        pytest.skip("this processor or machine has no kernels of ours")
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_8_bit_products_are_those_of_the_layer(
    library: object, shape: tuple[int, int], bias: bool
) -> None:
    weight, scale = quantise(torch.randn(shape))
    added = torch.randn(shape[0]) if bias else None
    product, layer = int8_product(library, weight, scale, added), Int8Linear(weight, scale, added)
    for rows in range(1, INT8_ROWS + 1):
        x = torch.randn(1, rows, shape[1])
        torch.testing.assert_close(product(x), layer(x), rtol=1e-6, atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(library: object) -> None:
    weight, scale = quantise(torch.randn(40, 32))
    product = int8_product(library, weight, scale, None)
    x = torch.randn(8, 32)
    alone = torch.cat([product(row[None]) for row in x])
    assert torch.equal(product(x), alone)
    x[3, 5], x[4, 0], x[5] = float("nan"), float("inf"), 0.0
    out = product(x)
    assert out[3:5].isnan().all()
    assert not out[5].any()
    assert torch.equal(out[:3], alone[:3])


@pytest.mark.parametrize("shape", SHAPES)
def test_plain_products_are_those_of_the_layer(library: object, shape: tuple[int, int]) -> None:
    weight, bias = torch.randn(shape), torch.randn(shape[0])
    product = plain_product(library, weight, bias)
    for rows in range(1, PLAIN_ROWS + 1):
        x = torch.randn(shape[1], rows).t()
        expected = torch.nn.functional.linear(x, weight, bias)
        torch.testing.assert_close(product(x), expected, rtol=1e-5, atol=1e-5)


def test_norms_that_compute_something_else_stay(library: object) -> None:
    class ShiftedRMSNorm(LlamaRMSNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + x

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.usual, self.shifted = LlamaRMSNorm(70), ShiftedRMSNorm(70)

    block = Block()
    block.usual.weight.data.uniform_(0.5, 2)
    x = torch.randn(2, 3, 70)
    with torch.inference_mode():
        expected = block.usual(x)
        assert replace_norms(block, library) == 1  # type: ignore[arg-type]
        assert isinstance(block.usual, Norm)
        assert isinstance(block.shifted, ShiftedRMSNorm)
        torch.testing.assert_close(block.usual(x), expected)


def test_without_the_processor_or_a_compiler_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "cpuinfo"
    about.write_text("flags\t\t: fpu avx2 avx512f\n")
    assert not native.fits(about)
    assert not native.fits(tmp_path / "absent")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "fits", lambda about: True)
    monkeypatch.setattr(native, "beside_source", lambda: tmp_path / "none.so")
    native.kernels.cache_clear()
    try:
        assert native.kernels() is None
    finally:
        native.kernels.cache_clear()


def test_a_file_that_others_may_write_is_not_loaded(tmp_path: Path) -> None:
    place = tmp_path / "kernels.so"
    assert not native._is_ours(place)
    place.write_bytes(b"")
    place.chmod(0o755)
    assert native._is_ours(place)
    place.chmod(0o777)
    assert not native._is_ours(place)
