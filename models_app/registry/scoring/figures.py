"""The figures of one evaluation, each with the interval that its rows leave it."""

import math
from dataclasses import dataclass
from functools import lru_cache

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from models_app.registry.models import Evaluation
from models_app.registry.scoring.bootstrap import Interval, interval, resampled
from models_app.registry.scoring.measures import (
    BITS_PER_BYTE,
    NATS_PER_TOKEN,
    OWN,
    Measure,
)
from models_app.registry.scoring.rows import column_of
from models_app.registry.scoring.wilson import wilson
from models_app.registry.states import Task

#: More rows than that have their figures without an interval: nobody waits for it on a page.
MOST_ROWS = 500_000
#: Bars of the picture of single documents.
BINS = 24


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure; without an interval where there is one row, or too many."""

    name: str
    label: str | Promise
    value: float
    interval: Interval | None
    is_share: bool = False


@dataclass(frozen=True)
class Spread:
    """How many rows lie in each of BINS steps from `low` to `high`; the ends hold what is beyond.

    `low` and `high` leave out one row of a hundred on each side.
    """

    low: float
    median: float
    high: float
    counts: tuple[int, ...]


def figures_of(evaluation: Evaluation) -> list[Figure]:
    """What it is measured by, the usual figure first; perplexity follows the loss."""
    found = []
    wide = int(evaluation.metrics.get("documents", 0)) > MOST_ROWS
    for measure in OWN[evaluation.task]:
        value = evaluation.metrics.get(measure.name)
        if value is None:
            continue
        between = None if wide else _between(evaluation.scores_sha256, measure.name)
        found.append(
            Figure(name=measure.name, label=measure.label, value=float(value), interval=between,
                   is_share=measure.is_share)
        )  # fmt: skip
        if measure is NATS_PER_TOKEN and float(value) < 700:
            found.append(_perplexity(float(value), between))
    return found


def spread_of(evaluation: Evaluation) -> Spread | None:
    """How the bits per byte of single documents lie; None of other tasks and of one document."""
    documents = int(evaluation.metrics.get("documents", 0))
    if evaluation.task != Task.PERPLEXITY or not 1 < documents <= MOST_ROWS:
        return None
    return _spread(evaluation.scores_sha256)


def _perplexity(nats: float, between: Interval | None) -> Figure:
    """The exponential keeps the order, so that the ends of an interval remain its ends."""
    ends = between and Interval(_exp(between.low), _exp(between.high))
    label = gettext_lazy("Perplexity")
    return Figure(name="perplexity", label=label, value=math.exp(nats), interval=ends)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


# Files are named by their content, so what was computed once holds for good.
@lru_cache(maxsize=512)
def _between(sha256: str, name: str) -> Interval | None:
    measure = _BY_NAME[name]
    column = column_of(sha256, measure)
    if measure.is_share and column.values:
        return wilson(sum(column.values), len(column.values))
    if len(column.values) < 2:
        return None
    (draws,) = resampled([column.values], column.weights)
    return interval(draws)


@lru_cache(maxsize=256)
def _spread(sha256: str) -> Spread:
    column = column_of(sha256, BITS_PER_BYTE)
    values = sorted(v / w for v, w in zip(column.values, column.weights, strict=True))
    last = len(values) - 1
    low, high = values[round(0.01 * last)], values[round(0.99 * last)]
    width = (high - low) / BINS or 1.0
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int((value - low) / width)))] += 1
    return Spread(low, values[last // 2], high, tuple(counts))


_BY_NAME: dict[str, Measure] = {
    measure.name: measure for known in OWN.values() for measure in known
}
