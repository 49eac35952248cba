"""Batches as a function of seed and step: nothing else is remembered, so a run resumes at once."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from workers.lm.data.token_store import TokenStore

Batch = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """Draws the sequences of any step; `rank` of `world` takes its slice of the same batch.

    "windows" starts sequences anywhere in the text. "epochs" cuts the text into sequences end
    to end and takes each once per epoch, in an order drawn from the seed and the epoch.
    """

    def __init__(
        self,
        store: TokenStore,
        sequence_length: int,
        batch_size: int,
        seed: int,
        sampling: str = "windows",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if len(store) <= sequence_length:
            raise ValueError(f"{len(store)} tokens hold no sequence of {sequence_length}")
        if batch_size % world:
            raise ValueError(f"a batch of {batch_size} cannot be shared by {world}")
        self._store = store
        self._length = sequence_length
        self._batch = batch_size
        self._seed = seed
        self._sampling = sampling
        share = batch_size // world
        self._mine = slice(rank * share, (rank + 1) * share)

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Where the sequences of a step begin, for all ranks together."""
        if self._sampling == "epochs":
            return self._from_epochs(step)
        drawn = generator(self._seed, step)
        return drawn.integers(0, len(self._store) - self._length, size=self._batch)

    def batch(self, step: int) -> Batch:
        """Inputs and targets of a step, each (sequences, sequence length)."""
        return windows(self._store, self.starts(step)[self._mine], self._length)

    def counted(self, step: int) -> int | None:
        """How many targets of a step count; None where all do."""
        return None

    def _from_epochs(self, step: int) -> npt.NDArray[np.int64]:
        per_epoch = (len(self._store) - 1) // self._length
        numbers = np.arange(step * self._batch, (step + 1) * self._batch, dtype=np.int64)
        epochs, places = np.divmod(numbers, per_epoch)
        starts = np.empty(self._batch, dtype=np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            order = epoch_order(self._seed, int(epoch), per_epoch)
            starts[chosen] = order[places[chosen]] * self._length
        return starts


def generator(seed: int, number: int) -> np.random.Generator:
    """Counter-based random numbers, so that any step's are at hand without those before it."""
    key = np.array([seed, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order in which an epoch takes `count` sequences."""
    drawn = generator(seed, 2**63 + epoch)
    return drawn.permutation(count)


def windows(store: TokenStore, starts: npt.NDArray[np.int64], length: int) -> Batch:
    """Sequences of `length` tokens at `starts`, and the token that follows each of theirs."""
    places = starts[:, None] + np.arange(length + 1)
    both = torch.from_numpy(store.tokens[places].astype(np.int64))
    return both[:, :-1], both[:, 1:]


class FixedWindows:
    """The same sequences at every validation, spread evenly over the text."""

    def __init__(
        self, store: TokenStore, sequence_length: int, batch_size: int, batches: int
    ) -> None:
        self._store = store
        self._batch = batch_size
        self._length = min(sequence_length, len(store) - 1)
        if self._length < 1:
            raise ValueError("validation needs at least two tokens")
        count = min(batches * batch_size, max(1, (len(store) - 1) // self._length))
        last = len(store) - 1 - self._length
        self._starts = np.linspace(0, last, count).astype(np.int64)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self._starts), self._batch):
            yield windows(self._store, self._starts[first : first + self._batch], self._length)
