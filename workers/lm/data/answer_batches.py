"""Batches of conversations in which only answers count; a function of seed and step, as all are.

A sequence begins where a conversation begins. What follows in the text behind its last whole
conversation is read but not counted: it is another sequence's.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from workers.lm.data.batches import Batch, epoch_order, generator
from workers.lm.data.token_store import TokenStore

#: The target of a token that does not count; what torch's cross entropy leaves out.
IGNORED = -100


class AnswerSequences:
    """The sequences that a text of conversations is cut into, none without an answer.

    `packed` takes as many whole conversations as fit; otherwise each has its own. One that is
    longer than a sequence goes on in the next if packed, and is cut off if not.
    """

    def __init__(self, store: TokenStore, length: int, *, packed: bool = True) -> None:
        assert store.counted is not None
        self._store, self._length = store, length
        self._counted = store.counted
        cuts = _packed(store, length) if packed else _single(store, length)
        starts, ends = np.asarray(cuts, dtype=np.int64).reshape(-1, 2).T
        answers = _answers(self._counted, starts, ends)
        keep = answers > 0
        self.starts, self.ends, self.answers = starts[keep], ends[keep], answers[keep]

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """Inputs and targets of some sequences, as wide as the longest of them."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        width = int((ends - starts).max())
        places = starts[:, None] + np.arange(width)
        inside = places < ends[:, None]
        # Behind the end of all text stands nothing to read: any token will do.
        places = np.minimum(places, len(self._store) - 1)
        tokens = torch.from_numpy(self._store.tokens[places].astype(np.int64))
        learned = torch.from_numpy((self._counted[places] == 1) & inside)
        targets = torch.where(learned, tokens, IGNORED)
        return tokens[:, :-1], targets[:, 1:]


class AnswerBatches:
    """Draws the sequences of any step; `rank` of `world` takes its slice of the same batch.

    "windows" draws sequences anew for each step; "epochs" and "documents" take each once per
    epoch, in an order drawn from the seed and the epoch; "documents" has one conversation in each.
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
        if batch_size % world:
            raise ValueError(f"a batch of {batch_size} cannot be shared by {world}")
        self.sequences = AnswerSequences(store, sequence_length, packed=sampling != "documents")
        if not len(self.sequences):
            raise ValueError(f"no sequence of {sequence_length} holds an answer")
        self._batch, self._seed, self._sampling = batch_size, seed, sampling
        share = batch_size // world
        self._mine = slice(rank * share, (rank + 1) * share)

    def chosen(self, step: int) -> npt.NDArray[np.int64]:
        """Numbers of the sequences of a step, for all ranks together."""
        count = len(self.sequences)
        if self._sampling == "windows":
            return generator(self._seed, step).integers(0, count, size=self._batch)
        numbers = np.arange(step * self._batch, (step + 1) * self._batch, dtype=np.int64)
        epochs, places = np.divmod(numbers, count)
        found = np.empty(self._batch, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = epoch_order(self._seed, int(epoch), count)[places[here]]
        return found

    def batch(self, step: int) -> Batch:
        """Inputs and targets of a step, each (sequences, longest of them)."""
        return self.sequences.batch(self.chosen(step)[self._mine])

    def counted(self, step: int) -> int:
        """How many targets count in the step, for all ranks together."""
        return int(self.sequences.answers[self.chosen(step)].sum())


class FixedAnswers:
    """The same sequences at every validation, spread evenly over the conversations."""

    def __init__(
        self, store: TokenStore, sequence_length: int, batch_size: int, batches: int
    ) -> None:
        self._sequences = AnswerSequences(store, sequence_length)
        if not len(self._sequences):
            raise ValueError("no validation sequence holds an answer")
        self._batch = batch_size
        count = min(batches * batch_size, len(self._sequences))
        self._chosen = np.linspace(0, len(self._sequences) - 1, count).astype(np.int64)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self._chosen), self._batch):
            yield self._sequences.batch(self._chosen[first : first + self._batch])


def _packed(store: TokenStore, length: int) -> list[tuple[int, int]]:
    """Whole conversations as long as they fit; a longer one in parts that overlap by a token."""
    most = length + 1
    cuts: list[tuple[int, int]] = []
    begin = end = 0
    for start, stop in pairwise(store.offsets.tolist()):
        if stop - begin <= most:
            end = stop
            continue
        if end > begin:
            cuts.append((begin, end))
        begin = start
        while stop - begin > most:
            cuts.append((begin, begin + most))
            begin += length
        end = stop
    if end > begin:
        cuts.append((begin, end))
    return cuts


def _single(store: TokenStore, length: int) -> list[tuple[int, int]]:
    return [
        (start, min(stop, start + length + 1))
        for start, stop in pairwise(store.offsets.tolist())
        if stop > start
    ]


def _answers(
    counted: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """How many targets count in each sequence.

    A target stands one behind its input: the first token of a sequence is never one.
    """
    found = np.zeros(len(starts), dtype=np.int64)
    real = np.flatnonzero(ends - starts >= 2)
    if len(real):
        edges = np.stack([starts[real] + 1, ends[real]], axis=1).ravel()
        # The last sum runs to the end of its array anyway.
        upto = int(edges[-1])
        found[real] = np.add.reduceat(counted[:upto], edges[:-1], dtype=np.int64)[::2]
    return found
