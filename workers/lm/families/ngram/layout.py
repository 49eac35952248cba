"""Sequences laid out for n-grams."""

from dataclasses import dataclass

import numpy as np

from workers.lm.families.markov import IntArray
from workers.lm.families.ngram.spec import Vocabulary


@dataclass(frozen=True)
class Layout:
    """All sequences behind one another in `words`, each behind a begin marker of its own.

    `places` says where each token given has come to lie.
    """

    words: IntArray
    places: IntArray


def begin_of(vocabulary: Vocabulary) -> int:
    """The number of the begin marker; one behind all tokens where it has none of its own."""
    return vocabulary.size if vocabulary.begin is None else vocabulary.begin


def alphabet_of(vocabulary: Vocabulary) -> int:
    """How many numbers there are for tokens and the begin marker together."""
    return vocabulary.size + (vocabulary.begin is None)


def lay_out(tokens: IntArray, offsets: IntArray, vocabulary: Vocabulary) -> Layout:
    """Begin anew at every offset and after every end token."""
    first = np.zeros(tokens.size, bool)
    first[offsets[:-1][offsets[:-1] < tokens.size]] = True
    if vocabulary.end is not None and tokens.size:
        first[1:] |= tokens[:-1] == vocabulary.end
    places = np.arange(tokens.size) + np.cumsum(first)
    words = np.full(tokens.size + int(first.sum()), begin_of(vocabulary), np.int64)
    words[places] = tokens
    return Layout(words, places)
