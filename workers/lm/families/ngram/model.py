"""A back-off n-gram model: looked up for whole texts, or for what follows one context."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from workers.lm.errors import InvalidWork
from workers.lm.families.markov import FloatArray, IntArray, LogProbs, check_sequences
from workers.lm.families.ngram.files import read_ngram, write_ngram
from workers.lm.families.ngram.layout import alphabet_of, begin_of, lay_out
from workers.lm.families.ngram.order import Order, find
from workers.lm.families.ngram.spec import Vocabulary


class NgramModel:
    """Probabilities of the next token by the longest n-gram seen, weighted down where it is short.

    `record` is plain data about how the model came about, kept with it.
    """

    def __init__(
        self, vocabulary: Vocabulary, orders: Sequence[Order], record: dict[str, Any]
    ) -> None:
        self.vocabulary = vocabulary
        self.orders = tuple(orders)
        self.record = record
        self._alphabet = alphabet_of(vocabulary)
        self._begin = begin_of(vocabulary)

    @property
    def vocab_size(self) -> int:
        """How many token ids there are, the begin marker's among them if it has one."""
        return self.vocabulary.size

    @property
    def context_length(self) -> int:
        """How many tokens back the model looks."""
        return len(self.orders) - 1

    def score(self, tokens: IntArray, offsets: IntArray) -> FloatArray:
        """Natural logarithm of every token's probability; what follows an end token begins anew.

        Raises InvalidWork for tokens outside the vocabulary, for the begin marker among them and
        for offsets that do not fit.
        """
        tokens, offsets = check_sequences(tokens, offsets, self.vocab_size)
        if (tokens == self._begin).any():
            raise InvalidWork("tokens", f"The begin marker ({self._begin}) is never a token.")
        layout = lay_out(tokens, offsets, self.vocabulary)
        words = layout.words
        logs = self.orders[0].log_probs.astype(np.float64)[words]
        #: Where n-grams of the order below end, and which they are.
        ends, index = np.arange(words.size), words
        for below, order in zip(self.orders, self.orders[1:], strict=False):
            if ends.size and ends[-1] == words.size - 1:
                ends, index = ends[:-1], index[:-1]
            ends = ends + 1
            logs[ends] += below.back_offs[index]
            found = find(order.keys, index * self._alphabet + words[ends])
            ends, index = ends[found >= 0], found[found >= 0]
            logs[ends] = order.log_probs[index]
        return logs[layout.places]

    def log_probs(self, context: Sequence[int]) -> LogProbs:
        """Natural logarithms of the probabilities of what follows, of shape (vocab_size,)."""
        return self.reader(context).log_probs()

    def log_probs_batch(self, contexts: Sequence[Sequence[int]]) -> LogProbs:
        """The same for many contexts at once, of shape (contexts, vocab_size)."""
        rows = np.empty((len(contexts), self.vocab_size), np.float32)
        for row, context in zip(rows, contexts, strict=True):
            self.reader(context).write_log_probs(row)
        return rows

    def reader(self, context: Sequence[int] = ()) -> "NgramReader":
        """A reader of the last tokens of `context`, which begins a sequence if it is short."""
        recent = context[-self.context_length :] if self.context_length else ()
        reader = NgramReader(self, begins=len(recent) == len(context))
        for token in recent:
            reader.push(int(token))
        return reader

    def facts(self) -> dict[str, Any]:
        """Order, numbers of n-grams, size in bytes, and the record of how it came about."""
        arrays = [
            array
            for order in self.orders
            for array in (order.keys, order.log_probs, order.back_offs)
        ]
        return {
            **self.record,
            "family": "ngram",
            "order": len(self.orders),
            "vocab_size": self.vocab_size,
            "ngrams": [int(order.keys.size) for order in self.orders],
            "bytes": sum(array.nbytes for array in arrays),
        }

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `ngram.json` into an existing folder."""
        write_ngram(folder, self.vocabulary, self.orders, self.record)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises UnusableModel with the reason if it cannot be used."""
        return cls(*read_ngram(folder))


class NgramReader:
    """The n-grams that the text read so far ends with, shortest first; -1 for those not known."""

    def __init__(self, model: NgramModel, *, begins: bool) -> None:
        self._model = model
        self._alphabet = alphabet_of(model.vocabulary)
        self._begin = begin_of(model.vocabulary)
        self._index = [self._begin] if begins else []

    def push(self, token: int) -> None:
        """Read one more token; after an end token a new sequence begins.

        Raises InvalidWork where it is not in the vocabulary.
        """
        if not 0 <= token < self._model.vocab_size or token == self._begin:
            raise InvalidWork("tokens", f"There is no token {token} that could follow.")
        if token == self._model.vocabulary.end:
            self._index = [self._begin]
        else:
            longer = zip(self._index, self._model.orders[1:], strict=False)
            self._index = [token, *(self._longer(index, order, token) for index, order in longer)]

    def _longer(self, index: int, order: Order, token: int) -> int:
        key = index * self._alphabet + token
        place = int(order.keys.searchsorted(key))
        known = index >= 0 and place < order.keys.size and order.keys[place] == key
        return place if known else -1

    def likely(self) -> int | None:
        """The most probable of the tokens that were seen after the longest n-gram known here.

        None where nothing was seen after any of them. Cheaper than a whole row of probabilities,
        and nearly always the token that would be highest in it.
        """
        orders = list(zip(self._index, self._model.orders[1:], strict=False))
        for index, order in reversed(orders):
            first = index * self._alphabet
            low, high = order.keys.searchsorted((first, first + self._alphabet))
            if index >= 0 and low < high:
                return int(order.keys[low + int(order.log_probs[low:high].argmax())] - first)
        return None

    def log_probs(self) -> LogProbs:
        """Natural logarithms of the next token's probabilities, of shape (vocab_size,)."""
        row = np.empty(self._model.vocab_size, np.float32)
        self.write_log_probs(row)
        return row

    def write_log_probs(self, row: LogProbs) -> None:
        """The same into an array that is there already."""
        orders = self._model.orders
        row[:] = orders[0].log_probs[: row.size]
        for index, below, order in zip(self._index, orders, orders[1:], strict=False):
            if index >= 0:
                row += below.back_offs[index]
                first = index * self._alphabet
                low, high = order.keys.searchsorted((first, first + self._alphabet))
                row[order.keys[low:high] - first] = order.log_probs[low:high]
