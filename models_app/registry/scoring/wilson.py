"""The interval of a share by Wilson (1927, Journal of the American Statistical Association 22).

It stays between 0 and 1 and holds for few rows and for shares near the ends, where the bootstrap
of a share that is 0 or 1 would have no width at all.
"""

import math

from models_app.registry.scoring.bootstrap import Interval

#: Of the normal distribution, for 95 of a hundred.
Z = 1.959963984540054


def wilson(right: float, count: int, z: float = Z) -> Interval:
    """Between which shares the true one lies, for `right` of `count` rows; `count` is above 0."""
    share, square = right / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    half /= 1 + square / count
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
