"""The runner of n-gram and hidden Markov models: each sequence has a reader of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from workers.lm.families.markov import MarkovModel, Reader

from .plan import Move, StepPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: They have no longest context; something must bound a request all the same.
CONTEXT = 4096


class MarkovRunner:
    """Logits are natural logarithms of probabilities, so that temperature and top_p hold as ever.

    A slot holds how far its sequence was read, which takes a few numbers and no cache.
    """

    mode = "markov"
    whole_prompts = False

    def __init__(
        self, model: MarkovModel, *, context_length: int, max_slots: int, prefill_chunk: int
    ) -> None:
        self.vocab_size = model.vocab_size
        self.context_length = context_length
        self.max_slots = max_slots
        self.prefill_chunk = prefill_chunk
        self._model = model
        self._readers: dict[int, Reader] = {}

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """See `plan.Runner`."""
        rows: list[NDArray] = []  # type: ignore[type-arg]
        for slot, token in enumerate(plan.decode):
            reader = self._readers[slot]
            reader.push(token)
            rows.append(reader.log_probs())
        for chunk in plan.chunks:
            if chunk.start == 0:
                self._readers[chunk.slot] = self._model.reader()
            reader = self._readers[chunk.slot]
            wanted = len(chunk.tokens) - chunk.rows
            for place, token in enumerate(chunk.tokens):
                reader.push(token)
                if place >= wanted:
                    rows.append(reader.log_probs())
        if not rows:
            return torch.empty(0, self.vocab_size)
        return torch.stack([torch.from_numpy(row) for row in rows])

    def move(self, move: Move) -> None:
        """Hand a sequence's reader to another slot."""
        if move.source in self._readers:
            self._readers[move.target] = self._readers.pop(move.source)

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Drop a sequence's reader."""
        self._readers.pop(slot, None)
