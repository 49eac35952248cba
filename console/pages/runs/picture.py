"""A scatter plot of runs as SVG: one figure over one setting, each point a link to its run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.pages.figures import count
from console.pages.navigation import url_or_none

WIDTH, HEIGHT = 900, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 40
#: Positive values that reach over more than this factor are drawn on a logarithmic axis.
LOG_FROM = 50


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where values lie between two ends of the picture, in its units."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def marks(self) -> list[float]:
        """Round values within."""
        return _powers(self.low, self.high) if self.log else _steps(self.low, self.high)

    def ticks(self) -> list[tuple[float, str]]:
        return [(round(self.place(value), 1), count(value)) for value in self.marks()]


def scatter(
    x: str, y: str, across: Mapping[int, float], up: Mapping[int, float]
) -> dict[str, Any] | None:
    """Everything that the template draws; None where fewer than two runs have both values."""
    keys = [key for key in across if key in up]
    if len(keys) < 2:
        return None
    right = axis_of([across[key] for key in keys], LEFT, WIDTH - RIGHT)
    top = axis_of([up[key] for key in keys], HEIGHT - BOTTOM, TOP)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "bottom": HEIGHT - BOTTOM,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "label_x": (LEFT + WIDTH - RIGHT) / 2,
        "label_y": HEIGHT - 6,
        "tick_y": HEIGHT - BOTTOM + 16,
        "x_ticks": right.ticks(),
        "y_ticks": [(place, text, place + 4) for place, text in top.ticks()],
        "points": [
            {
                "href": url_or_none("job_detail", key),
                "x": round(right.place(across[key]), 1),
                "y": round(top.place(up[key]), 1),
                "title": f"#{key}: {x} {count(across[key])}, {y} {count(up[key])}",
            }
            for key in sorted(keys)
        ],
    }


def axis_of(values: Sequence[float], start: float, end: float) -> Axis:
    """The axis on which all values lie, with a little room at both ends."""
    low, high = min(values), max(values)
    log = low > 0 and high / low > LOG_FROM
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    elif log:
        low, high = low / 1.25, high * 1.25
    else:
        low, high = low - (high - low) * 0.04, high + (high - low) * 0.04
    return Axis(low=low, high=high, start=start, end=end, log=log)


def _steps(low: float, high: float) -> list[float]:
    """About five round values."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [round(n * step, 12) for n in range(first, math.floor(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = max(1, (last - first) // 5)
    return [10.0**power for power in range(first, last + 1, every)]
