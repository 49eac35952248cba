"""Asynchronous successive halving, the variant that stops instead of promoting.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020, arXiv:1810.05934), by the
rule for stopping of Optuna's SuccessiveHalvingPruner and of Ray Tune: at each rung, when a trial
gets there, it goes on only if it is among the best 1/eta of all that have got there so far. Nobody
waits for others, and nothing has to be started again. Values here are the lower the better.
"""

import math
from collections.abc import Sequence

#: What a trial that failed counts as.
WORST = math.inf


def rungs(least: int, most: int, factor: int) -> list[int]:
    """The steps at which trials are compared: `least · factor^k` below `most`."""
    found = []
    while least < most:
        found.append(least)
        least *= factor
    return found


def goes_on(value: float, reached: Sequence[float], factor: int) -> bool:
    """Whether a trial with `value` is among the best 1/factor of `reached`, itself included.

    Of fewer than `factor` the best one goes on; of equals all do.
    """
    places = max(1, len(reached) // factor)
    return value <= sorted(reached)[places - 1]
