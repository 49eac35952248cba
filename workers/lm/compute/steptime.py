"""Seconds that a step will take on a node of measured speed; plain Python, no torch.

The parts are added up: products, attention, streams, activation function, loss, calls, optimiser.
A small model is bound by calls and bytes, a large one by products; nothing overlaps, since
operators of one training run one after the other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workers.lm.compute.flops import Work


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one optimiser step by what they go to."""

    products: float
    attention: float
    elementwise: float
    loss: float
    calls: float
    optimizer: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return float(sum(vars(self).values()))


def step_time(work: Work, rates: Mapping[str, Any], gain: float = 1.0) -> StepTime:
    """Predict a step from the rates of one device; see `measuring.rates` for their units.

    `gain` is how many times faster everything but calls and optimiser is than in fp32.
    """
    products = at_width(rates["products_gflops"], work.width)
    attention = at_shape(rates["attention_gflops"], work.length, work.head_width)
    elementwise = (
        work.stream_bytes / rates["stream_gbps"] / 1e9
        + work.activations / rates["activation_meps"] / 1e6
    )
    return StepTime(
        products=work.product_flops / products / 1e9 / gain,
        attention=work.attention_flops / attention / 1e9 / gain,
        elementwise=elementwise / gain,
        loss=work.scores / rates["loss_meps"] / 1e6,
        calls=work.operators * rates["operator_us"] / 1e6,
        optimizer=work.optimizer_bytes / rates["optimizer_gbps"] / 1e9,
    )


def looking_time(step: StepTime) -> float:
    """Seconds to validate on as many tokens as a step has: forward alone is about a third."""
    return (step.seconds - step.optimizer) / 3


def at_width(table: Mapping[str, float], width: int) -> float:
    """The rate of a width between those measured; beyond them the nearest."""
    known = sorted((int(name), rate) for name, rate in table.items())
    if width <= known[0][0]:
        # Below the narrowest the work shrinks faster than the time.
        return known[0][1] * width / known[0][0]
    for (low, slow), (high, fast) in pairwise(known):
        if width <= high:
            share = math.log(width / low) / math.log(high / low)
            return float(slow * (fast / slow) ** share)
    return known[-1][1]


def at_shape(table: Mapping[str, float], length: int, width: int) -> float:
    """The rate of attention at the measured length and head width that are nearest."""

    def distance(name: str) -> float:
        known_length, known_width = (int(part) for part in name.split("x"))
        return abs(math.log(length / known_length)) + abs(math.log(width / known_width))

    return table[min(table, key=distance)]
