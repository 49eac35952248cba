"""Decoding steps of few rows, recorded once for each number of rows and then done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .recording import NotRepeatable, Recorder, Recording

if TYPE_CHECKING:
    from .attention import PackedStep

#: Above so many rows the arithmetic takes so long that calling the modules does not matter.
MOST_ROWS = 32
#: What may differ between a recording and the modules, as a share of the spread of the logits.
_TOLERANCE = 1e-3

Forward = Callable[[torch.Tensor, torch.Tensor, "PackedStep"], torch.Tensor]


class Repeated:
    """Computes what `forward` does, without its modules wherever that has proven to be the same.

    A recording is made by the first step with so many rows; the second one is computed both ways
    and compared, with other tokens at other positions. Where anything differs, or cannot be
    recorded, `why_not` says so and the modules do all of it from then on.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._new: dict[int, Recording] = {}
        self._proven: dict[int, Recording] = {}
        self.why_not = ""

    def run(self, ids: torch.Tensor, step: PackedStep) -> torch.Tensor:
        """Logits of all rows: ids [1, rows] -> [rows, vocabulary]."""
        inputs = (ids, step.positions[None], step)
        known = self._proven.get(ids.shape[1])
        if known is not None:
            return known.run(inputs)
        return self._second(inputs) if ids.shape[1] in self._new else self._first(inputs)

    def _first(self, inputs: tuple[Any, ...]) -> torch.Tensor:
        ids, positions, step = inputs
        if self.why_not:
            return self._forward(ids, positions, step)
        recorder = Recorder(inputs)
        try:
            with recorder:
                logits = self._forward(ids, positions, step)
            self._new[ids.shape[1]] = recorder.recording(logits)
            return logits
        except NotRepeatable as error:
            self.why_not = str(error)
        return self._forward(ids, positions, step)

    def _second(self, inputs: tuple[Any, ...]) -> torch.Tensor:
        ids, _, _ = inputs
        expected = self._forward(*inputs)
        recording = self._new.pop(ids.shape[1])
        try:
            _compare(recording.run(inputs), expected)
            self._proven[ids.shape[1]] = recording
        except Exception as error:
            self.why_not = f"{type(error).__name__}: {error}"
            self._proven.clear()
            self._new.clear()
            # What it has left in the cache is written over.
            return self._forward(*inputs)
        return expected


def _compare(found: torch.Tensor, expected: torch.Tensor) -> None:
    if found.shape != expected.shape:
        raise NotRepeatable("its logits have another shape")
    worst = float((found - expected).abs().max() / expected.float().std().clamp_min(1e-6))
    if not worst <= _TOLERANCE:
        raise NotRepeatable(f"its logits differ by {worst:.2g} of their spread")
