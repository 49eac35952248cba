"""Forward passes that are recorded and done again: the same numbers, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workers.lm.inference.recording import NotRepeatable, Recorder, Recording, opaque
from workers.lm.inference.repeated import Repeated


def _recorded(function: Callable[..., torch.Tensor], *inputs: Any) -> Recording:
    with torch.inference_mode():
        recorder = Recorder(inputs)
        with recorder:
            out = function(*inputs)
        return recorder.recording(out)


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


def test_a_recording_gives_what_the_function_gives_for_other_numbers() -> None:
    weight = torch.randn(8, 8)

    def function(x: torch.Tensor) -> torch.Tensor:
        first, second = (x @ weight).split(4, dim=-1)
        whole = torch.cat([second, first.exp()], dim=-1)
        whole += 1
        return whole[:, 2:].softmax(-1)

    recording = _recorded(function, torch.randn(3, 8))
    for _ in range(2):
        x = torch.randn(3, 8)
        with torch.inference_mode():
            assert torch.equal(recording.run((x,)), function(x))


def test_a_rotation_is_one_shift_and_the_same_to_the_bit() -> None:
    inputs = [torch.randn(1, 4, 3, 16), torch.randn(3, 16), torch.randn(3, 16)]
    recording = _recorded(_rotated, *inputs)
    names = [getattr(function, "__name__", "") for function, *_ in recording._steps]
    assert "roll" in names and "neg" not in names
    others = [torch.randn(1, 4, 3, 16), torch.randn(3, 16), torch.randn(3, 16)]
    assert torch.equal(recording.run(tuple(others)), _rotated(*others))


def test_halves_of_a_part_are_no_rotation_of_the_whole() -> None:
    def function(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return _rotated(x[..., :8], cos, sin) + torch.cat((-x[..., 4:8], x[..., :4]), -1) * sin

    recording = _recorded(function, torch.randn(2, 16), torch.randn(2, 8), torch.randn(2, 8))
    others = (torch.randn(2, 16), torch.randn(2, 8), torch.randn(2, 8))
    assert torch.equal(recording.run(others), function(*others))


def test_what_is_opaque_is_done_again_with_what_is_given_then() -> None:
    def double(step: SimpleNamespace, x: torch.Tensor) -> torch.Tensor:
        return x * step.times

    def function(x: torch.Tensor, step: SimpleNamespace) -> torch.Tensor:
        return opaque(double, step, x) + 1

    recording = _recorded(function, torch.ones(2), SimpleNamespace(times=2))
    given = (torch.ones(2), SimpleNamespace(times=5))
    assert recording.run(given).tolist() == [6, 6]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x[x > 0],
        lambda x: x * float(x.max()),
        lambda x: x.nonzero().float(),
        lambda x: torch.nn.functional.dropout(x, 0.5, training=True),
    ],
)
def test_what_depends_on_more_than_shapes_is_refused(function: Any) -> None:
    with pytest.raises(NotRepeatable):
        _recorded(function, torch.tensor([1.0, -1.0, 2.0]))


class _Step:
    def __init__(self, positions: list[int]) -> None:
        self.positions = torch.tensor(positions)


def _answers(repeated: Repeated, forward: Any) -> None:
    with torch.inference_mode():
        for at in range(4):
            ids, step = torch.tensor([[3 + at, 5]]), _Step([at, at + 1])
            expected = forward(ids, step.positions[None], step)
            assert torch.equal(repeated.run(ids, step), expected)  # type: ignore[arg-type]


def test_steps_are_recorded_proven_and_then_done_without_the_model() -> None:
    calls = []

    def forward(ids: torch.Tensor, positions: torch.Tensor, step: Any) -> torch.Tensor:
        return ids[0, :, None] * torch.arange(1.0, 5.0) + positions[0, :, None]

    def counted(*args: Any) -> torch.Tensor:
        calls.append(1)
        return forward(*args)

    repeated = Repeated(counted)
    _answers(repeated, forward)
    assert not repeated.why_not
    assert len(calls) == 2


def test_a_model_that_reads_its_inputs_in_python_is_never_answered_from_a_recording() -> None:
    def forward(ids: torch.Tensor, positions: torch.Tensor, step: Any) -> torch.Tensor:
        return ids[0, :, None] * torch.arange(1.0, 5.0) + positions.tolist()[0][0]

    repeated = Repeated(forward)
    _answers(repeated, forward)
    assert "differ" in repeated.why_not or "depends" in repeated.why_not
