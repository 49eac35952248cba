"""Keys and values of all slots in one contiguous pair of tensors a layer."""

from __future__ import annotations

import math

import numpy as np
import torch

from .plan import Move
from .prefixes import BLOCK


class SlotCache:
    """`keys[layer]` and `values[layer]` are [slots, positions, heads, size].

    A layer is allocated when it is first written, in the shape the model really uses, so
    no configuration field has to be trusted for it.
    """

    def __init__(
        self, *, slots: int, length: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.slots = slots
        self.length = length
        self._dtype = dtype
        self.device = device
        self.keys: dict[int, torch.Tensor] = {}
        self.values: dict[int, torch.Tensor] = {}

    def write(
        self,
        layer: int,
        slots: torch.Tensor,
        positions: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [tokens, heads, size] at (slot, position); returns the layer's tensors."""
        if layer not in self.keys:
            self.keys[layer] = self._zeros(key.shape[1], key.shape[2])
            self.values[layer] = self._zeros(value.shape[1], value.shape[2])
        keys, values = self.keys[layer], self.values[layer]
        keys.index_put_((slots, positions), key.to(keys.dtype))
        values.index_put_((slots, positions), value.to(values.dtype))
        return keys, values

    def move(self, move: Move) -> None:
        """Copy a sequence's positions to another slot."""
        for store in (*self.keys.values(), *self.values.values()):
            store[move.target, : move.length] = store[move.source, : move.length]

    @property
    def position_bytes(self) -> int:
        """What one position of one slot takes in all layers written so far."""
        stores = (*self.keys.values(), *self.values.values())
        return sum(store[0, 0].numel() * store.element_size() for store in stores)

    def wipe(self, slot: int) -> None:
        """Forget a slot whose numbers are not finite: masked NaN would still spread."""
        for store in (*self.keys.values(), *self.values.values()):
            store[slot].zero_()

    @property
    def bytes(self) -> int:
        """Address space held; on the CPU pages are only touched when written."""
        stores = (*self.keys.values(), *self.values.values())
        return sum(store.numel() * store.element_size() for store in stores)

    def _zeros(self, heads: int, size: int) -> torch.Tensor:
        return _zeros((self.slots, self.length, heads, size), self._dtype, self.device)


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
