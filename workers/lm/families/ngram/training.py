"""Learning an n-gram model from token ids."""

from collections.abc import Callable

from workers.lm.families.markov import IntArray
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary


def train_ngram(
    spec: NgramSpec,
    tokens: IntArray,
    offsets: IntArray,
    vocabulary: Vocabulary,
    on_order: Callable[[int], None] = lambda order: None,
) -> NgramModel:
    """Interpolated modified Kneser-Ney of all sequences; begins are implied, ends are tokens.

    `on_order` is called after each order has been counted and may raise to stop.
    Raises InvalidTraining naming the field.
    """
