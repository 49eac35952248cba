"""Counting n-grams of all lengths in texts of token ids, exactly: numbers, no hashes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.lm.errors import InvalidTraining
from workers.lm.families.markov import IntArray
from workers.lm.families.ngram.layout import Layout

_LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Counts:
    """The different n-grams of one length, in the order of their keys (see `Order`).

    `prefix` and `suffix` are the indices, in the order below, of the n-gram without its last and
    without its first token; single tokens have neither. `times` is how often each occurs.
    """

    keys: IntArray
    prefix: IntArray
    suffix: IntArray
    times: IntArray
    begins: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.keys.size)


def count_ngrams(
    layout: Layout, begin: int, alphabet: int, order: int, on_order: Callable[[int], None]
) -> list[Counts]:
    """One `Counts` for each length from 1 to `order`.

    No n-gram reaches over the begin marker of a sequence, and its own count is 0.
    """
    words = layout.words
    times = np.bincount(words, minlength=alphabet)
    times[begin] = 0
    singles = np.arange(alphabet)
    nothing = np.empty(0, np.int64)
    counts = [Counts(singles, nothing, nothing, times, singles == begin)]
    on_order(1)
    #: Where n-grams of the order below end, and which they are.
    ends, index = np.arange(words.size), words
    for length in range(2, order + 1):
        below = counts[-1]
        if below.size * alphabet > _LARGEST_KEY:
            raise InvalidTraining(
                "order",
                f"{below.size:,} {length - 1}-grams over {alphabet:,} tokens are too many to be "
                f"numbered; choose {length - 1} or prune.",
            )
        ends, index, found = _lengthen(ends, index, words, begin, alphabet, below)
        counts.append(found)
        on_order(length)
    return counts


def _lengthen(
    ends: IntArray, index: IntArray, words: IntArray, begin: int, alphabet: int, below: Counts
) -> tuple[IntArray, IntArray, Counts]:
    """The n-grams that are longer by the token behind; where they end, which, and their counts."""
    which = np.full(words.size, -1, np.int64)
    which[ends] = index
    go_on = ends[ends + 1 < words.size]
    ends = go_on[words[go_on + 1] != begin] + 1
    keys, index, times = number(which[ends - 1] * alphabet + words[ends])
    prefix = keys // alphabet
    suffix = np.empty(keys.size, np.int64)
    suffix[index] = which[ends]
    return ends, index, Counts(keys, prefix, suffix, times, below.begins[prefix])


def number(keys: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The different keys, rising; which of them each key is; how often each occurs.

    As numpy.unique does it with its stable sort, which takes several times longer.
    """
    by_key = np.argsort(keys)
    ordered = keys[by_key]
    first = np.ones(keys.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    index = np.empty(keys.size, np.int64)
    index[by_key] = np.cumsum(first) - 1
    places = np.flatnonzero(first)
    return ordered[places], index, np.diff(places, append=keys.size)
