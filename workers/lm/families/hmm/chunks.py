"""Sequences side by side, so that one step in time is one operation for many of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workers.lm.families.markov import IntArray

#: Numbers in one array of shape (time, sequences, states): 16 MiB of them.
_NUMBERS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Block:
    """Pieces of text, longest first: `tokens` and `places` are of shape (time, pieces).

    `places` is where each token stands in the text given; `alive` says how many pieces, the first
    ones, reach to each time. Behind a piece's end both hold 0.
    """

    tokens: IntArray
    places: IntArray
    alive: IntArray

    @property
    def lengths(self) -> IntArray:
        """How many tokens each piece has."""
        ranks = np.arange(self.tokens.shape[1])
        return np.asarray((self.alive[:, np.newaxis] > ranks).sum(axis=0))


def cut(offsets: IntArray, length: int | None) -> tuple[IntArray, IntArray]:
    """Begins and lengths of pieces of at most `length` tokens; none reaches over an offset."""
    begins, sizes = offsets[:-1], np.diff(offsets)
    if length is None:
        return begins[sizes > 0], sizes[sizes > 0]
    parts = -(-sizes // length)
    which = np.repeat(np.arange(sizes.size), parts)
    number = np.arange(which.size) - np.repeat(np.cumsum(parts) - parts, parts)
    skipped = number * length
    return begins[which] + skipped, np.minimum(sizes[which] - skipped, length)


def blocks(tokens: IntArray, begins: IntArray, sizes: IntArray, width: int) -> Iterator[Block]:
    """The pieces in blocks of bounded memory; `width` is how many numbers a token takes."""
    ranks = np.argsort(-sizes, kind="stable")
    first = 0
    while first < ranks.size:
        longest = int(sizes[ranks[first]])
        many = max(1, _NUMBERS_AT_ONCE // (longest * width))
        chosen = ranks[first : first + many]
        first += chosen.size
        times = np.arange(longest)[:, np.newaxis]
        there = times < sizes[chosen]
        places = np.where(there, begins[chosen] + times, 0)
        yield Block(np.where(there, tokens[places], 0), places, there.sum(axis=1))
