"""Percentile intervals by the bootstrap over documents (Efron and Tibshirani 1993, chapter 13).

Every figure here is a ratio of two sums over documents: bits by bytes, right answers by questions.
Documents are drawn again, as many as there are and with replacement; the figure of each draw says
how far it would lie elsewhere had other documents of the same kind been scored. All columns share
their draws, so that the difference of two of them is that of a pair.
"""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20_270
#: More documents than that are drawn in so many groups, put together at random: the width of an
#: interval then errs by about one part in a hundred and forty, and a page is not kept waiting.
MOST_UNITS = 10_000


@dataclass(frozen=True)
class Interval:
    """The middle 95 of a hundred draws."""

    low: float
    high: float

    @property
    def leaves_zero_out(self) -> bool:
        """Whether a difference is larger than chance alone would make it."""
        return self.low > 0 or self.high < 0


def resampled(
    columns: Sequence[Sequence[float]],
    weights: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[list[float]]:
    """For each column its sum by the sum of the weights, once for every draw of documents.

    All columns are as long as `weights`, whose values are above 0. The same seed gives the same
    draws.
    """
    # Half of its memory is needed by no page but these.
    import pyarrow as pa
    import pyarrow.compute as pc

    *held, below = [pa.array(unit, pa.float64()) for unit in _units([*columns, weights], seed)]
    count = len(below)
    chance = random.Random(seed)
    found: list[list[float]] = [[] for _ in columns]
    for _ in range(resamples):
        drawn = pa.py_buffer(chance.randbytes(4 * count))
        numbers = pa.Array.from_buffers(pa.uint32(), count, [None, drawn]).cast(pa.float64())
        places = pc.floor(pc.multiply(numbers, count / 2**32)).cast(pa.int32())
        weight = pc.sum(below.take(places)).as_py()
        for values, column in zip(found, held, strict=True):
            values.append(pc.sum(column.take(places)).as_py() / weight)
    return found


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The middle of the values, between two of them where it falls so."""
    ordered = sorted(values)
    outside = (1 - confidence) / 2
    return Interval(_quantile(ordered, outside), _quantile(ordered, 1 - outside))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _units(columns: Sequence[Sequence[float]], seed: int) -> list[Sequence[float]]:
    """What is drawn: documents, or sums over groups of them."""
    count = len(columns[0])
    if count <= MOST_UNITS:
        return list(columns)
    groups = random.Random(seed).choices(range(MOST_UNITS), k=count)
    sums: list[Sequence[float]] = []
    for column in columns:
        held = array("d", bytes(8 * MOST_UNITS))
        for group, value in zip(groups, column, strict=True):
            held[group] += value
        sums.append(held)
    return sums
