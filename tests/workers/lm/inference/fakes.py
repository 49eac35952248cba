"""A runner with known logits, so that scheduling and sampling can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch

from workers.lm.inference.plan import Move, StepPlan


class FakeRunner:
    """The next token after a prefix is whatever `logits(prefix)` says.

    It keeps each slot's tokens as a cache would, so a scheduler that mixes up slots,
    positions or moves gives wrong prefixes here.
    """

    mode = "fake"
    whole_prompts = False
    checks_drafts = True

    def __init__(
        self,
        logits: Callable[[list[int]], list[float]],
        *,
        vocabulary: int = 16,
        slots: int = 3,
        context: int = 64,
        chunk: int = 4,
    ) -> None:
        self.vocab_size, self.context_length = vocabulary, context
        self.max_slots, self.prefill_chunk = slots, chunk
        self._logits = logits
        self.slots: dict[int, list[int]] = {}
        self.plans: list[StepPlan] = []
        self.wiped: list[int] = []

    def forward(self, plan: StepPlan) -> torch.Tensor:
        self.plans.append(plan)
        rows = []
        drafts = plan.drafts or ([],) * len(plan.decode)
        for slot, token in enumerate(plan.decode):
            held = self.slots[slot][: plan.positions[slot]]
            assert len(held) == plan.positions[slot]
            for guessed in (token, *drafts[slot]):
                held = [*held, guessed]
                rows.append(self._logits(held))
            assert len(held) <= self.context_length
            self.slots[slot] = held
        for chunk in plan.chunks:
            assert chunk.slot < self.max_slots
            held = self.slots.get(chunk.slot, [])[: chunk.start]
            assert len(held) == chunk.start
            for index, token in enumerate(chunk.tokens):
                held = [*held, token]
                if index >= len(chunk.tokens) - chunk.rows:
                    rows.append(self._logits(held))
            self.slots[chunk.slot] = held
        return torch.tensor(rows).reshape(len(rows), self.vocab_size)

    def move(self, move: Move) -> None:
        self.slots[move.target] = self.slots[move.source][: move.length]

    def fork(self, fork: Move) -> None:
        assert len(self.slots[fork.source]) >= fork.length
        self.move(fork)

    def release(self, slot: int, *, wipe: bool = False) -> None:
        if wipe:
            self.wiped.append(slot)
        # A real cache keeps stale numbers; make them unmistakably foreign here.
        self.slots[slot] = [-1] * 3


class FakeBlocks:
    """Beginnings of the slots of a `FakeRunner`."""

    def __init__(self, runner: FakeRunner, blocks: int, size: int = 4) -> None:
        self.blocks, self.size = blocks, size
        self.held: dict[int, list[int]] = {}
        self._slots = runner.slots

    def save(self, slot: int, first: int, blocks: list[int]) -> None:
        for number, block in enumerate(blocks):
            start = first + number * self.size
            self.held[block] = self._slots[slot][start : start + self.size]
            assert len(self.held[block]) == self.size

    def load(self, slot: int, blocks: list[int]) -> None:
        self._slots[slot] = [token for block in blocks for token in self.held[block]]


def counting(prefix: list[int], vocabulary: int = 16) -> list[float]:
    """Greedy answers count up from the last token: a wrong slot breaks the row."""
    wanted = (sum(prefix) + len(prefix)) % vocabulary
    return [5.0 if token == wanted else 0.0 for token in range(vocabulary)]


def continued(prompt: list[int], count: int, vocabulary: int = 16) -> list[int]:
    """What `counting` answers."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append((sum(tokens) + len(tokens)) % vocabulary)
    return tokens[len(prompt) :]


class Letters:
    """Token n is the n-th letter."""

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(97 + token) for token in ids)

    def piece(self, token_id: int) -> bytes:
        return chr(97 + token_id).encode()
