"""One step of the engine, as the scheduler decides it and a runner computes it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
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
    slice of the cache without gathering. `drafts[i]` are guesses of the tokens that follow, at the
    positions behind; it is empty where nobody has any. Rows lie as the sequences do: those of
    slot 0 with its guesses, those of slot 1, …, then the chunks.
    """

    decode: list[int]
    positions: list[int]
    chunks: list[PrefillChunk]
    drafts: tuple[list[int], ...] = ()

    @property
    def spans(self) -> list[int]:
        """Tokens of each sequence in this step: the decoding ones, then the chunks."""
        guessed = map(len, self.drafts) if self.drafts else repeat(0, len(self.decode))
        return [*(1 + count for count in guessed), *(len(chunk.tokens) for chunk in self.chunks)]

    @property
    def tokens(self) -> int:
        """Tokens computed in this step."""
        return sum(self.spans)


@dataclass(frozen=True, slots=True)
class Move:
    """The first `length` positions of slot `source` are to be found in `target` from now on.

    As a fork they stay where they are as well.
    """

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
        """Logits, float32 [rows, vocabulary]: one a decode token or guess, then the chunks'."""
        ...

    def move(self, move: Move) -> None:
        """Carry a sequence's state to another slot."""
        ...

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """The sequence of this slot has ended; `wipe` where its numbers are not finite."""
        ...
