"""The fast runner: all sequences of a step in one packed forward over a shared slot cache."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import PreTrainedModel

from .attention import PACKED, PackedStep
from .errors import UnsupportedAttention
from .kv_cache import SlotCache
from .loading import vocabulary_width
from .lora import AdapterBank
from .plan import Move, StepPlan
from .repeated import MOST_ROWS, Repeated

_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})
_OWN_MASKS = ("attention_chunk_size", "use_bidirectional_attention", "alibi")


class PackedRunner:
    """Runs any decoder whose attention goes through transformers' attention interface."""

    mode = "packed"
    #: Takes `StepPlan.drafts`.
    checks_drafts = True
    whole_prompts = False

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        context_length: int,
        max_slots: int,
        prefill_chunk: int,
    ) -> None:
        reason = why_not_packed(model)
        if reason is not None:
            raise UnsupportedAttention(reason)
        self.vocab_size = vocabulary_width(model)
        self.context_length = context_length
        self.max_slots = max_slots
        self.prefill_chunk = prefill_chunk
        self._model: Any = model
        self._device = model.device
        self._selects_rows = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.cache = SlotCache(
            slots=max_slots, length=context_length, dtype=model.dtype, device=model.device
        )
        self.bank = AdapterBank(model)
        self.repeated: Repeated | None = None
        model.set_attn_implementation(PACKED)

    def forward(self, plan: StepPlan) -> torch.Tensor:
        """One forward pass; see `plan.Runner`."""
        ids, positions, slots, keep = _flatten(plan)
        self.cache.reserve(max(slots) + 1, max(positions) + 1, all_of_it=True)
        step = PackedStep(
            cache=self.cache,
            plan=plan,
            slots=torch.tensor(slots, device=self._device),
            positions=torch.tensor(positions, device=self._device),
        )
        tokens = torch.tensor([ids], device=self._device)
        few = len(ids) <= MOST_ROWS and not plan.chunks and not self.bank.active
        if self.repeated is not None and few:
            return self.repeated.run(tokens, step).float()
        rows = torch.tensor(keep or [len(ids) - 1], device=self._device)
        logits = self._modules(tokens, step.positions[None], step, rows)
        return logits[: len(keep)].float()

    def _modules(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        step: PackedStep,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits of these rows or of all of them; ids and positions are [1, rows]."""
        keep = 0 if rows is None else rows
        logits: torch.Tensor = self._model(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            packed_step=step,
            **({"logits_to_keep": keep} if self._selects_rows else {}),
        ).logits[0]
        return logits if self._selects_rows or rows is None else logits[rows]

    def repeat_steps(self) -> None:
        """From now on steps of few rows are recorded. The model must not change any more, but for
        what the bank of adapters does."""
        if self._device.type == "cpu":
            self.repeated = Repeated(self._modules)

    def has_room(self, slots: int, length: int) -> bool:
        """Whether the cache can hold so many sequences of that length."""
        return self.cache.has_room(slots, length)

    def move(self, move: Move) -> None:
        """Carry a sequence's keys and values to another slot."""
        self.cache.move(move)

    def fork(self, fork: Move) -> None:
        """Copy a sequence's keys and values to another slot."""
        self.cache.move(fork)

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Old positions are masked, so only numbers that are not finite need wiping."""
        if wipe:
            self.cache.wipe(slot)


def _flatten(plan: StepPlan) -> tuple[list[int], list[int], list[int], list[int]]:
    """Token ids, positions, slots, and the rows whose logits are wanted."""
    ids, positions = list(plan.decode), list(plan.positions)
    slots = list(range(len(ids)))
    if plan.drafts:
        ids, positions, slots = [], [], []
        rows = zip(plan.decode, plan.positions, plan.drafts, strict=True)
        for slot, (token, position, guesses) in enumerate(rows):
            ids += [token, *guesses]
            positions += range(position, position + 1 + len(guesses))
            slots += [slot] * (1 + len(guesses))
    keep = list(range(len(ids)))
    for chunk in plan.chunks:
        at, size = len(ids), len(chunk.tokens)
        ids += chunk.tokens
        positions += range(chunk.start, chunk.start + size)
        slots += [chunk.slot] * size
        keep += range(at + size - chunk.rows, at + size)
    return ids, positions, slots, keep


def why_not_packed(model: PreTrainedModel) -> str | None:
    """A reason that can be read off the class and configuration, None where there is none.

    What cannot be read off is found by `probe`, which compares numbers.
    """
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return "the architecture has its own attention"
    if getattr(model, "_is_stateful", False):
        return "the architecture keeps a recurrent state"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "the architecture takes no positions"
    layers = set(getattr(config, "layer_types", None) or ())
    if not layers <= _LAYER_TYPES:
        return f"it has layers of type {', '.join(sorted(layers - _LAYER_TYPES))}"
    for name in _OWN_MASKS:
        if getattr(config, name, None):
            return f"its configuration sets {name}"
    return None
