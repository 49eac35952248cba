"""Evaluations of the same rows held against one of them: differences, intervals, who is better."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models_app.registry.scoring.bootstrap import Interval, interval, resampled
from models_app.registry.scoring.measures import COMPARABLE, Measure
from models_app.registry.scoring.rows import Column, aligned, column_of

#: Rows that are named, on either side; points of the curve of all differences.
NAMED, POINTS = 5, 201


@dataclass(frozen=True)
class Gap:
    """One row: what each side was given for it, and the difference by the weight of the row."""

    document: int
    value: float
    other: float
    difference: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One evaluation against the baseline; a positive difference means a larger figure than its.

    `won`, `lost` and `tied` count rows; `curve` has the differences of single rows from the best
    to the worst, at even steps.
    """

    difference: float
    interval: Interval | None
    less_is_better: bool
    won: int
    lost: int
    tied: int
    best: tuple[Gap, ...]
    worst: tuple[Gap, ...]
    curve: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """`better` or `worse` where chance alone would not make the difference, else `unclear`."""
        if self.interval is None or not self.interval.leaves_zero_out:
            return "unclear"
        return "better" if (self.difference < 0) == self.less_is_better else "worse"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The figure of one evaluation over the rows that all have; `pair` is None of the baseline."""

    value: float
    interval: Interval | None
    pair: Pair | None


@dataclass(frozen=True, kw_only=True)
class Standings:
    """All of them, in the order in which they were given, and how many rows all have."""

    rows: int
    standings: tuple[Standing, ...]


def standings_of(files: Sequence[str], measure: Measure, baseline: int | None) -> Standings:
    """Compare files of scores, given by their digests; `baseline` is a place among them.

    Without a baseline there are figures and no pairs.
    """
    return _standings(tuple(files), measure.name, baseline)


# Files are named by their content, so what was computed once holds for good.
@lru_cache(maxsize=256)
def _standings(files: tuple[str, ...], name: str, baseline: int | None) -> Standings:
    measure = _BY_NAME[name]
    columns = aligned([column_of(sha256, measure) for sha256 in files])
    count = len(columns[0].documents)
    if not count:
        return Standings(rows=0, standings=())
    draws: list[list[float]] = [[] for _ in columns]
    if count > 1:
        draws = resampled([column.values for column in columns], columns[0].weights)
    figures = [sum(column.values) / sum(column.weights) for column in columns]
    standings = tuple(
        Standing(
            value=figures[place],
            interval=interval(draws[place]) if count > 1 else None,
            pair=None
            if baseline is None or place == baseline
            else _pair(
                columns[place], columns[baseline], draws[place], draws[baseline],
                figures[place] - figures[baseline], measure,
            ),
        )
        for place in range(len(columns))
    )  # fmt: skip
    return Standings(rows=count, standings=standings)


def _pair(
    ours: Column, theirs: Column, our_draws: Sequence[float], their_draws: Sequence[float],
    difference: float, measure: Measure,
) -> Pair:  # fmt: skip
    sign = -1.0 if measure.less_is_better else 1.0
    gains = [sign * (one - two) for one, two in zip(ours.values, theirs.values, strict=True)]
    won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    apart = [one - two for one, two in zip(our_draws, their_draws, strict=True)]
    by_weight = sorted(
        (gain / weight for gain, weight in zip(gains, ours.weights, strict=True)), reverse=True
    )
    places = range(len(gains))
    best = heapq.nlargest(NAMED, (p for p in places if gains[p] > 0), key=gains.__getitem__)
    worst = heapq.nsmallest(NAMED, (p for p in places if gains[p] < 0), key=gains.__getitem__)
    return Pair(
        difference=difference,
        interval=interval(apart) if apart else None,
        less_is_better=measure.less_is_better,
        won=won,
        lost=lost,
        tied=len(gains) - won - lost,
        best=tuple(_gap(ours, theirs, place) for place in best),
        worst=tuple(_gap(ours, theirs, place) for place in worst),
        curve=tuple(sign * value for value in _thinned(by_weight)),
    )


def _gap(ours: Column, theirs: Column, place: int) -> Gap:
    weight = ours.weights[place]
    value, other = ours.values[place] / weight, theirs.values[place] / weight
    return Gap(ours.documents[place], value, other, value - other)


def _thinned(values: Sequence[float]) -> list[float]:
    """At most POINTS of the values, the first and the last among them."""
    last = len(values) - 1
    if last < POINTS:
        return list(values)
    return [values[round(step * last / (POINTS - 1))] for step in range(POINTS)]


_BY_NAME = {measure.name: measure for known in COMPARABLE.values() for measure in known}
