"""All n-grams of one length."""

from dataclasses import dataclass

import numpy as np

from workers.lm.families.markov import IntArray, LogProbs


@dataclass(frozen=True)
class Order:
    """N-grams in the order of their keys, with what is known of each.

    A key is the index of the n-gram without its last token in the order below, times the number
    of tokens with the begin marker, plus the last token; single tokens are their own keys, and
    all of them are there. The logarithms are natural: of the probability of the last token after
    the others, and of the weight that the order below has in what follows the n-gram. The longest
    n-grams have no weights.
    """

    keys: IntArray
    log_probs: LogProbs
    back_offs: LogProbs


def find(keys: IntArray, wanted: IntArray) -> IntArray:
    """The index of each of `wanted` among the rising `keys`; -1 where it is not among them."""
    if not keys.size:
        return np.full(wanted.shape, -1, np.int64)
    index = np.searchsorted(keys, wanted)
    index[index == keys.size] = 0
    index[keys[index] != wanted] = -1
    return index
