"""Keys and values of all slots in one contiguous pair of tensors a layer."""

from __future__ import annotations

import numpy as np
import torch

from .plan import Move


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
        self._device = device
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
        shape = (self.slots, self.length, heads, size)
        if self._device.type != "cpu":
            return torch.zeros(shape, dtype=self._dtype, device=self._device)
        # calloc gives zero pages lazily: unused slots and positions cost no memory.
        width = torch.empty(0, dtype=self._dtype).element_size()
        flat = np.zeros(int(np.prod(shape)) * width, dtype=np.uint8)
        return torch.from_numpy(flat).view(self._dtype).view(shape)
