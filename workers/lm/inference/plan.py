"""One step of the engine, as the scheduler decides it and a runner computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """A piece of one prompt: tokens `start .. start + len(tokens)` of the sequence in `slot`."""

    slot: int
    start: int
    tokens: list[int]
    last: bool
    every_row: bool

    @property
    def rows(self) -> int:
        """How many rows of logits this chunk gives."""
        if self.every_row:
            return len(self.tokens)
        return 1 if self.last else 0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Decode token `decode[i]` at `positions[i]` for slot i, then the prompt chunks.

    Decoding sequences always fill the slots 0 .. n-1, so that their attention reads one
    slice of the cache without gathering.
    """

    decode: list[int]
    positions: list[int]
    chunks: list[PrefillChunk]

    @property
    def tokens(self) -> int:
        """Tokens computed in this step."""
        return len(self.decode) + sum(len(chunk.tokens) for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Move:
    """The first `length` positions of slot `source` are to be found in `target` from now on."""

    source: int
    target: int
    length: int


class Runner(Protocol):
    """Computes steps over a model; the engine's only view of it."""

    vocab_size: int
    context_length: int
    max_slots: int
    prefill_chunk: int
    whole_prompts: bool
    mode: str

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """Logits, float32 [rows, vocabulary]: one row a decode token, then the chunks' rows."""
        ...

    def move(self, move: Move) -> None:
        """Carry a sequence's state to another slot."""
        ...

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """The sequence of this slot has ended; `wipe` where its numbers are not finite."""
        ...
