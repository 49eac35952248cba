"""Attention over packed sequences, registered with transformers' attention interface.

The model runs one forward over [1, tokens] in which every token belongs to some slot; only
this function knows that. Grouped-query heads are never copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as functional
from transformers import AttentionInterface

from .errors import UnsupportedAttention
from .kv_cache import SlotCache
from .plan import PrefillChunk, StepPlan
from .recording import opaque

PACKED = "slipway_packed"

# Arguments that change nothing in the result or are passed on by us.
_HARMLESS = frozenset(
    {
        "position_ids",
        "cache_position",
        "use_cache",
        "output_attentions",
        "is_causal",
        "past_key_values",
        "output_hidden_states",
        "return_dict",
        "logits_to_keep",
        "position_embeddings",
        "num_items_in_batch",
        "output_router_logits",
        "layer_idx",
    }
)


@dataclass
class PackedStep:
    """The tensors of one step, shared by all layers; masks are made once a window size."""

    cache: SlotCache
    plan: StepPlan
    slots: torch.Tensor
    positions: torch.Tensor
    _decode_masks: dict[int, torch.Tensor | None] = field(default_factory=dict)
    _chunk_masks: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    @cached_property
    def places(self) -> torch.Tensor:
        """Of each row, where in the cache its keys and values belong, all slots in one line."""
        return self.slots * self.cache.span + self.positions

    @cached_property
    def decode_rows(self) -> int:
        """Rows of the decoding slots, those of their guesses among them."""
        return sum(self.plan.spans[: len(self.plan.decode)])

    @cached_property
    def decode_length(self) -> int:
        """Positions the decoding slots may have to look at."""
        ends = (
            position + span
            for position, span in zip(self.plan.positions, self.plan.spans, strict=False)
        )
        return max(ends)

    @cached_property
    def guessed(self) -> Guessed | None:
        """How the rows of slots with guesses lie, None where nobody has any."""
        return Guessed.of(self) if self.plan.drafts else None

    def decode_mask(self, window: int) -> torch.Tensor | None:
        """[n, 1, 1, length]: what each decoding token sees; None where it is everything."""
        if window not in self._decode_masks:
            self._decode_masks[window] = self._make_decode_mask(window)
        return self._decode_masks[window]

    def _make_decode_mask(self, window: int) -> torch.Tensor | None:
        if self.guessed is not None:
            return self.guessed.mask(self, window)
        last = self.plan.positions
        if min(last) == max(last) and (not window or max(last) < window):
            return None
        mine = self.positions[: len(last), None]
        seen = torch.arange(self.decode_length, device=mine.device)[None]
        return _visible(mine, seen, window)[:, None, None]

    def chunk_mask(self, index: int, window: int) -> torch.Tensor:
        """[1, 1, tokens, length] for the prompt chunk with this index."""
        key = (index, window)
        if key not in self._chunk_masks:
            chunk = self.plan.chunks[index]
            end = chunk.start + len(chunk.tokens)
            mine = torch.arange(chunk.start, end, device=self.positions.device)[:, None]
            seen = torch.arange(end, device=self.positions.device)[None]
            self._chunk_masks[key] = _visible(mine, seen, window)[None, None]
        return self._chunk_masks[key]


@dataclass(frozen=True, slots=True)
class Guessed:
    """Rows of slots with different numbers of guesses, put into one tensor of equal ones.

    `gather` [slots, most] names the row of each place; places without a row of their own repeat
    the slot's first. `scatter` [rows] names the place of each row.
    """

    gather: torch.Tensor
    scatter: torch.Tensor

    @classmethod
    def of(cls, step: PackedStep) -> Guessed:
        """From the plan of a step."""
        spans = step.plan.spans[: len(step.plan.decode)]
        most, at = max(spans), 0
        gather: list[list[int]] = []
        scatter: list[int] = []
        for slot, span in enumerate(spans):
            gather.append([*range(at, at + span), *[at] * (most - span)])
            scatter += range(slot * most, slot * most + span)
            at += span
        device = step.positions.device
        return cls(torch.tensor(gather, device=device), torch.tensor(scatter, device=device))

    def mask(self, step: PackedStep, window: int) -> torch.Tensor:
        """[slots, 1, most, length]: what each place sees."""
        mine = step.positions[self.gather][..., None]
        seen = torch.arange(step.decode_length, device=mine.device)[None, None]
        return _visible(mine, seen, window)[:, None]


def _visible(mine: torch.Tensor, seen: torch.Tensor, window: int) -> torch.Tensor:
    mask = seen <= mine
    return mask & (seen > mine - window) if window else mask


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    packed_step: PackedStep | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Write this layer's keys and values, then attend: decode rows first, then each chunk."""
    step = _checked(module, attention_mask, dropout, packed_step, others)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    window = sliding_window or 0
    if window >= step.cache.length:
        window = 0
    return opaque(attend, step, layer, window, scaling, query, key, value), None


def attend(
    step: PackedStep,
    layer: int,
    window: int,
    scaling: float | None,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """Attention of all rows of a step: [1, rows, heads, size]."""
    keys, values = step.cache.write(
        layer, step.places, key[0].transpose(0, 1), value[0].transpose(0, 1)
    )
    count = len(step.plan.decode)
    decode = _decode if step.guessed is None else _decode_guesses
    parts = [decode(query, keys, values, step, window, scaling)] if count else []
    at = step.decode_rows
    for index, chunk in enumerate(step.plan.chunks):
        rows = slice(at, at + len(chunk.tokens))
        mask = step.chunk_mask(index, window) if chunk.start or window else None
        parts.append(_chunk(query[:, :, rows], keys, values, chunk, mask, scaling))
        at = rows.stop
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.unsqueeze(0)


def _checked(
    module: torch.nn.Module,
    mask: torch.Tensor | None,
    dropout: float,
    step: PackedStep | None,
    others: dict[str, Any],
) -> PackedStep:
    """Refuse whatever this function would compute differently from the model's own attention."""
    if step is None:
        raise UnsupportedAttention("the model does not pass arguments through to its attention")
    if mask is not None:
        raise UnsupportedAttention("the model makes its own attention mask")
    if dropout or getattr(module, "is_causal", True) is False:
        raise UnsupportedAttention("the attention is not plainly causal")
    strange = sorted(
        name for name, value in others.items() if value is not None and name not in _HARMLESS
    )
    if strange:
        raise UnsupportedAttention(f"the attention takes {', '.join(strange)}")
    return step


def _decode(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    step: PackedStep,
    window: int,
    scaling: float | None,
) -> torch.Tensor:
    """One query token a slot; the heads of a group are the rows of one small attention."""
    count, length, groups = len(step.plan.decode), step.decode_length, keys.shape[2]
    heads, size = query.shape[1], query.shape[3]
    if count > 1 or query.shape[2] > 1:
        query = query[0, :, :count].transpose(0, 1)
    rows = query.reshape(count, groups, heads // groups, size)
    out = functional.scaled_dot_product_attention(
        rows,
        keys[:count, :length].transpose(1, 2),
        values[:count, :length].transpose(1, 2),
        attn_mask=step.decode_mask(window),
        scale=scaling,
    )
    return out.reshape(count, heads, values.shape[-1])


def _decode_guesses(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    step: PackedStep,
    window: int,
    scaling: float | None,
) -> torch.Tensor:
    """As `_decode`, with a few query tokens a slot: rows of a group are heads by tokens."""
    places: Guessed = step.guessed  # type: ignore[assignment]
    (count, most), length, groups = places.gather.shape, step.decode_length, keys.shape[2]
    heads, size = query.shape[1], query.shape[3]
    share = heads // groups
    rows = query[0][:, places.gather].view(groups, share, count, most, size)
    rows = rows.permute(2, 0, 1, 3, 4).reshape(count, groups, share * most, size)
    mask: torch.Tensor = step.decode_mask(window)  # type: ignore[assignment]
    out = functional.scaled_dot_product_attention(
        rows,
        keys[:count, :length].transpose(1, 2),
        values[:count, :length].transpose(1, 2),
        attn_mask=mask.repeat(1, 1, share, 1),
        scale=scaling,
    )
    out = out.view(count, groups, share, most, -1).permute(0, 3, 1, 2, 4)
    return out.reshape(count * most, heads, values.shape[-1])[places.scatter]


def _chunk(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    chunk: PrefillChunk,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    end = chunk.start + len(chunk.tokens)
    here = slice(chunk.slot, chunk.slot + 1)
    out = functional.scaled_dot_product_attention(
        query,
        keys[here, :end].transpose(1, 2),
        values[here, :end].transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != keys.shape[2],
    )
    return out[0].transpose(0, 1)


# No function for masks: models then pass None, and masks are made per slot inside the attention.
AttentionInterface.register(PACKED, packed_attention)
