"""Decides which tokens the next step computes: pure arithmetic over sequences and slots."""

from __future__ import annotations

from collections import deque

from .plan import Move, PrefillChunk, StepPlan
from .sequence import Sequence


class Scheduler:
    """First come, first served; decoding never waits for more than one chunk of prompt.

    Slots stay dense: decoding sequences fill 0 .. n-1, those still reading their prompt
    follow in order of arrival. A step spends its chunk budget in that order, so at most the
    first of them has a part of its prompt in the cache, and only it must move when n changes.
    """

    def __init__(self, *, max_slots: int, prefill_chunk: int, whole_prompts: bool = False) -> None:
        self.max_slots = max_slots
        self.prefill_chunk = prefill_chunk
        self.whole_prompts = whole_prompts
        self.waiting: deque[Sequence] = deque()
        self.decoding: list[Sequence] = []
        self.prefilling: list[Sequence] = []

    @property
    def running(self) -> int:
        """Sequences that hold a slot."""
        return len(self.decoding) + len(self.prefilling)

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the queue."""
        self.waiting.append(sequence)

    def plan(self) -> StepPlan | None:
        """The next step, or None where there is nothing to compute."""
        while self.waiting and self.running < self.max_slots:
            self.prefilling.append(self.waiting.popleft())
        if not self.running:
            return None
        return StepPlan(
            decode=[sequence.tokens[-1] for sequence in self.decoding],
            positions=[sequence.computed for sequence in self.decoding],
            chunks=self._chunks(),
        )

    def _chunks(self) -> list[PrefillChunk]:
        budget, chunks = self.prefill_chunk, []
        for offset, sequence in enumerate(self.prefilling):
            left = len(sequence.source) - sequence.computed
            size = min(budget, left)
            if size <= 0 or (self.whole_prompts and size < left):
                break
            start, budget = sequence.computed, budget - size
            chunks.append(
                PrefillChunk(
                    slot=len(self.decoding) + offset,
                    start=start,
                    tokens=sequence.source[start : start + size],
                    last=start + size == len(sequence.source),
                    every_row=sequence.params.score_prompt and not sequence.tokens,
                )
            )
        return chunks

    def advance(self, plan: StepPlan) -> None:
        """The step has been computed: count its tokens; full prompts begin to decode."""
        for sequence in self.decoding:
            sequence.computed += 1
        for chunk, sequence in zip(plan.chunks, list(self.prefilling), strict=False):
            sequence.computed += len(chunk.tokens)
            if sequence.prefilled:
                self.prefilling.remove(sequence)
                self.decoding.append(sequence)

    def slot_of(self, sequence: Sequence) -> int | None:
        """The slot that holds this sequence, None while it waits."""
        if sequence in self.decoding:
            return self.decoding.index(sequence)
        if sequence in self.prefilling:
            return len(self.decoding) + self.prefilling.index(sequence)
        return None

    def remove(self, sequence: Sequence) -> list[Move]:
        """Take a sequence out; returns the moves that keep the slots dense."""
        if sequence in self.prefilling:
            return self._remove_prefilling(sequence)
        if sequence not in self.decoding:
            if sequence in self.waiting:
                self.waiting.remove(sequence)
            return []
        hole, last = self.decoding.index(sequence), len(self.decoding) - 1
        moves = []
        if hole != last:
            self.decoding[hole] = self.decoding[last]
            moves.append(Move(source=last, target=hole, length=self.decoding[last].computed))
        self.decoding.pop()
        if self.prefilling and self.prefilling[0].computed:
            head = self.prefilling[0]
            moves.append(Move(source=last + 1, target=last, length=head.computed))
        return moves

    def _remove_prefilling(self, sequence: Sequence) -> list[Move]:
        """Those behind the first one have nothing in the cache yet, so nothing moves."""
        self.prefilling.remove(sequence)
        return []

    def everyone(self) -> list[Sequence]:
        """All sequences, running first."""
        return [*self.decoding, *self.prefilling, *self.waiting]
