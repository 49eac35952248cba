"""What earlier trainings teach: the measured over the predicted, with doubt while they are few."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: So many trainings weigh as much as the formula itself.
DOUBT = 2
#: How far the formula alone may be off to either side: the goal of benchmarks/estimates.py.
ALONE = math.log(1.25)
#: No spread is smaller: the same training twice is not the same to the second.
LEAST = math.log(1.05)
#: A ratio beyond this tells of an accident and not of the node.
ABSURD = 50.0


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Factor on a prediction, with the range in which the measured will probably lie."""

    factor: float
    low: float
    high: float
    count: int


def learned(ratios: Sequence[float]) -> Correction:
    """The median of measured over predicted, drawn towards 1 the fewer there are.

    In logarithms, so that twice and half are equally far. The range is as wide as the middle
    four fifths of the ratios, and as the doubt of the formula where there are few.
    """
    logs = sorted(math.log(one) for one in ratios if 1 / ABSURD < one < ABSURD)
    trust = len(logs) / (len(logs) + DOUBT)
    middle = statistics.median(logs) if logs else 0.0
    spread = _spread(logs)
    half = (1 - trust) * ALONE + trust * max(spread, LEAST)
    return Correction(
        factor=math.exp(trust * middle),
        low=math.exp(trust * middle - half),
        high=math.exp(trust * middle + half),
        count=len(logs),
    )


def _spread(logs: Sequence[float]) -> float:
    """Half the distance between the first and the last tenth."""
    if len(logs) < 2:
        return ALONE
    tenths = statistics.quantiles(logs, n=10, method="inclusive")
    return (tenths[-1] - tenths[0]) / 2
