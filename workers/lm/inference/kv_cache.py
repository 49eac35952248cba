"""Keys and values of all slots in one contiguous pair of tensors a layer."""

from __future__ import annotations

import math

import numpy as np
import torch

from .plan import Move
from .prefixes import BLOCK

_FIRST_SPAN = 256


class SlotCache:
    """`keys[layer]` and `values[layer]` are [slots, positions, heads, size].

    A layer is allocated when it is first written, in the shape the model really uses, so
    no configuration field has to be trusted for it. On the CPU that is the whole of it, for memory
    is only taken where something is written. Elsewhere it grows with what runs, up to
    `limit_bytes`; `has_room` says beforehand whether that will do.
    """

    def __init__(
        self,
        *,
        slots: int,
        length: int,
        dtype: torch.dtype,
        device: torch.device,
        grows: bool | None = None,
    ) -> None:
        self.slots = slots
        self.length = length
        self.grows = device.type != "cpu" if grows is None else grows
        self.limit_bytes: float = math.inf
        self._dtype = dtype
        self.device = device
        self._shape = (1, min(length, _FIRST_SPAN)) if self.grows else (slots, length)
        self._used = self._promised = (0, 0)
        self.keys: dict[int, torch.Tensor] = {}
        self.values: dict[int, torch.Tensor] = {}

    def has_room(self, slots: int, length: int) -> bool:
        """Whether so many slots of that length can be held at the same time.

        Whoever is told so holds no more than that until it asks again.
        """
        if self.grows and self._bytes(self._rounded(slots, length)) > self.limit_bytes:
            return False
        self._promised = (slots, length)
        return True

    def reserve(self, slots: int, length: int, *, all_of_it: bool = False) -> None:
        """There must be room for this now; `all_of_it` where nothing else is held any more.

        What is held stays. Memory is given back only where more would be needed than there is.
        """
        if not self.grows:
            return
        if not all_of_it:
            slots, length = max(self._used[0], slots), max(self._used[1], length)
        self._used = (slots, length)
        if slots <= self._shape[0] and length <= self._shape[1]:
            return
        least = self._rounded(slots, length)
        if self._bytes(least) > self.limit_bytes:
            # Some of what was in use is not any more: what was promised is enough for the rest.
            self._used = self._promised
            least = self._rounded(*self._promised)
        wanted = (max(self._shape[0], least[0]), max(self._shape[1], least[1]))
        self._shape = wanted if self._bytes(wanted) <= self.limit_bytes else least
        for stores in (self.keys, self.values):
            for layer, old in stores.items():
                stores[layer] = self._copied(old)

    def _copied(self, old: torch.Tensor) -> torch.Tensor:
        new = self._zeros(old.shape[2], old.shape[3])
        rows, span = min(old.shape[0], new.shape[0]), min(old.shape[1], new.shape[1])
        new[:rows, :span] = old[:rows, :span]
        return new

    def _rounded(self, slots: int, length: int) -> tuple[int, int]:
        """Powers of two: it grows a few times, not with every token."""
        return (
            min(self.slots, 1 << max(0, slots - 1).bit_length()),
            min(self.length, max(_FIRST_SPAN, 1 << max(0, length - 1).bit_length())),
        )

    def _bytes(self, shape: tuple[int, int]) -> int:
        return shape[0] * shape[1] * self.position_bytes

    def write(
        self,
        layer: int,
        places: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [tokens, heads, size] at slot * span + position; returns the layer's tensors."""
        if layer not in self.keys:
            self.keys[layer] = self._zeros(key.shape[1], key.shape[2])
            self.values[layer] = self._zeros(value.shape[1], value.shape[2])
        keys, values = self.keys[layer], self.values[layer]
        keys.flatten(0, 1).index_copy_(0, places, key.to(keys.dtype))
        values.flatten(0, 1).index_copy_(0, places, value.to(values.dtype))
        return keys, values

    def move(self, move: Move) -> None:
        """Copy a sequence's positions to another slot."""
        self.reserve(max(move.source, move.target) + 1, move.length)
        for store in (*self.keys.values(), *self.values.values()):
            store[move.target, : move.length] = store[move.source, : move.length]

    @property
    def span(self) -> int:
        """Positions for which a slot has memory now."""
        return self._shape[1]

    @property
    def position_bytes(self) -> int:
        """What one position of one slot takes in all layers written so far."""
        stores = (*self.keys.values(), *self.values.values())
        return sum(store[0, 0].numel() * store.element_size() for store in stores)

    def wipe(self, slot: int) -> None:
        """Forget a slot whose numbers are not finite: masked NaN would still spread."""
        for store in (*self.keys.values(), *self.values.values()):
            if slot < store.shape[0]:
                store[slot].zero_()

    @property
    def bytes(self) -> int:
        """Address space held; on the CPU pages are only touched when written."""
        stores = (*self.keys.values(), *self.values.values())
        return sum(store.numel() * store.element_size() for store in stores)

    def _zeros(self, heads: int, size: int) -> torch.Tensor:
        return _zeros((*self._shape, heads, size), self._dtype, self.device)


class SlotBlocks:
    """Blocks of positions beside a cache of slots, copied from and to it; a `BlockStore`.

    As many blocks as fit into so many bytes; on the CPU they take memory when they are written.
    """

    def __init__(self, cache: SlotCache, budget_bytes: int, size: int = BLOCK) -> None:
        self._cache = cache
        self.size = size
        self.block_bytes = cache.position_bytes * size
        self.blocks = budget_bytes // self.block_bytes if self.block_bytes else 0
        self._pairs: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def save(self, slot: int, first: int, blocks: list[int]) -> None:
        """Copy from a slot: its positions from `first` on into these blocks, in order."""
        self._make()
        ids = torch.tensor(blocks, device=self._cache.device)
        span = slice(first, first + len(blocks) * self.size)
        for layer, keys, values in self._pairs:
            for store, held in ((self._cache.keys, keys), (self._cache.values, values)):
                source = store[layer][slot, span]
                held.index_copy_(0, ids, source.view(len(blocks), self.size, *source.shape[1:]))

    def load(self, slot: int, blocks: list[int]) -> None:
        """Copy these blocks to the beginning of a slot."""
        self._cache.reserve(slot + 1, len(blocks) * self.size)
        ids = torch.tensor(blocks, device=self._cache.device)
        for layer, keys, values in self._pairs:
            for store, held in ((self._cache.keys, keys), (self._cache.values, values)):
                target = store[layer][slot, : len(blocks) * self.size]
                shape = (len(blocks), self.size, *target.shape[1:])
                torch.index_select(held, 0, ids, out=target.view(shape))

    def _make(self) -> None:
        """When the first block is saved: what is never used takes nothing."""
        if self._pairs:
            return
        for layer, keys in self._cache.keys.items():
            values = self._cache.values[layer]
            shapes = [(self.blocks, self.size, *store.shape[2:]) for store in (keys, values)]
            made = [_zeros(shape, keys.dtype, keys.device) for shape in shapes]
            self._pairs.append((layer, made[0], made[1]))


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # calloc gives zero pages lazily: unused slots and positions cost no memory.
    width = torch.empty(0, dtype=dtype).element_size()
    flat = np.zeros(math.prod(shape) * width, dtype=np.uint8)
    return torch.from_numpy(flat).view(dtype).view(shape)
