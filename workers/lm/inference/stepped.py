"""The slow, always right runner: each sequence steps alone, as `generate` would step it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from .loading import vocabulary_width
from .plan import Move, StepPlan


class SteppedRunner:
    """For architectures with their own attention, state space or convolution.

    A slot holds whatever keyword arguments the model's own generation code carries from step
    to step. With `cached` False every step computes the whole sequence again, which needs
    nothing from the architecture but a forward pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        context_length: int,
        max_slots: int,
        cached: bool = True,
    ) -> None:
        self.vocab_size = vocabulary_width(model)
        self.context_length = context_length
        self.max_slots = max_slots
        self.prefill_chunk = context_length
        self.whole_prompts = True  # the model's own code continues by one token only
        self.mode = "stepped" if cached else "recomputed"
        self._model: Any = model
        self._cached = cached
        self._state: dict[int, dict[str, Any]] = {}
        self._tokens: dict[int, list[int]] = {}

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """Sequence after sequence; see `plan.Runner`."""
        rows = []
        for slot, token in enumerate(plan.decode):
            self._tokens[slot].append(token)
            rows.append(self._step(slot, [token])[-1:])
        for chunk in plan.chunks:
            if chunk.start == 0:
                self._tokens[chunk.slot] = []
                self._state.pop(chunk.slot, None)
            self._tokens[chunk.slot] += chunk.tokens
            logits = self._step(chunk.slot, chunk.tokens)
            rows.append(logits[logits.shape[0] - chunk.rows :])
        if not rows:
            return torch.empty(0, self.vocab_size)
        return torch.cat(rows).float()

    def _step(self, slot: int, new: list[int]) -> torch.Tensor:
        ids = torch.tensor([self._tokens[slot]], device=self._model.device)
        if not self._cached:
            logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
            return logits
        kwargs = self._state.get(slot) or {
            "use_cache": True,
            "attention_mask": torch.ones_like(ids),
        }
        inputs = self._model.prepare_inputs_for_generation(
            ids,
            next_sequence_length=len(new),
            is_first_iteration=slot not in self._state,
            **kwargs,
        )
        outputs = self._model(**inputs, return_dict=True)
        self._state[slot] = self._model._update_model_kwargs_for_generation(outputs, kwargs)
        result: torch.Tensor = outputs.logits[0]
        return result

    def move(self, move: Move) -> None:
        """Hand a sequence's state to another slot."""
        if move.source in self._tokens:
            self._tokens[move.target] = self._tokens.pop(move.source)
        if move.source in self._state:
            self._state[move.target] = self._state.pop(move.source)

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Drop a sequence's state."""
        self._state.pop(slot, None)
        self._tokens.pop(slot, None)
