"""The numbers of a hidden Markov model, and the floor that keeps all of them above 0."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.markov import FloatArray, IntArray


@dataclass(frozen=True)
class Parameters:
    """Probabilities of the first state (states,), of the next one (states, states) by rows, and of
    tokens by rows of states (states, vocab_size).

    Always laid out row by row: the same numbers then give the same bits, loaded or computed.
    """

    start: FloatArray
    transitions: FloatArray
    emissions: FloatArray

    def __post_init__(self) -> None:
        for name in ("start", "transitions", "emissions"):
            array = np.array(getattr(self, name), np.float64, order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def states(self) -> int:
        """How many states there are."""
        return int(self.start.size)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return int(self.emissions.shape[1])

    @classmethod
    def drawn(cls, spec: HmmSpec, restart: int, tokens: IntArray, vocab_size: int) -> Self:
        """Where a restart begins: random, with emissions around how often the tokens occur.

        Moves begin more alike than emissions: of the ways of drawing that were tried on letters of
        English, this one led to the best likelihood most often.
        """
        generator = np.random.default_rng([spec.seed, restart])
        often = np.bincount(tokens, minlength=vocab_size) / tokens.size
        return cls.floored(
            1.0 + generator.random(spec.states),
            1.0 + generator.random((spec.states, spec.states)),
            generator.standard_exponential((spec.states, vocab_size)) * often,
            spec.floor,
        )

    @classmethod
    def floored(
        cls, start: FloatArray, transitions: FloatArray, emissions: FloatArray, floor: float
    ) -> Self:
        """The most probable parameters for these counts among all that are nowhere below `floor`."""
        return cls(
            floored(start[np.newaxis], floor)[0],
            floored(transitions, floor),
            floored(emissions, floor),
        )


def floored(counts: FloatArray, floor: float) -> FloatArray:
    """Rows of probabilities in proportion to rows of counts, except that none is below `floor`.

    Of all such rows they make the counts most probable; that is why learning with a floor, too,
    never loses likelihood. Rows without counts become even.
    """
    counts = np.where(counts.sum(axis=1, keepdims=True) > 0, counts, 1.0)
    low = np.zeros(counts.shape, bool)
    while True:
        left = 1.0 - floor * low.sum(axis=1, keepdims=True)
        total = np.where(low, 0.0, counts).sum(axis=1, keepdims=True)
        rows = np.where(low, floor, counts * (left / total))
        lower = rows < floor
        if not lower.any():
            return rows
        low |= lower
