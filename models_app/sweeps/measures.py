"""What trials of each kind of training can be compared by, and what a sweep may not vary."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric of trainings. `every`: the setting that says how often it is reported on the way.

    Without `along` it is known only at the end, so that nothing can be stopped by it.
    """

    lower_is_better: bool = True
    along: bool = False
    every: str = ""


_AT_THE_END = Measure()
_RATE = Measure(lower_is_better=False)
#: Kind of configuration -> metric -> how it is read; the first one is the usual one.
MEASURES: dict[str, dict[str, Measure]] = {
    "training": {
        "validation_loss": Measure(along=True, every="evaluate_every"),
        "loss": Measure(along=True, every="log_every"),
        "best_validation_loss": _AT_THE_END,
        "tokens_per_second": Measure(lower_is_better=False, along=True, every="log_every"),
    },
    "ngram": {
        "validation_loss": _AT_THE_END,
        "train_loss": _AT_THE_END,
        "tokens_per_second": _RATE,
    },
    "hmm": {
        "validation_loss": _AT_THE_END,
        "loss": Measure(along=True),
        "train_loss": _AT_THE_END,
        "tokens_per_second": _RATE,
    },
}
#: Kind -> the setting that says how long a training lasts; n-gram models are counted at one go.
RESOURCES: Mapping[str, str] = {"training": "steps", "hmm": "iterations"}
#: Settings that change what a token is: losses are told per token, so they do not compare.
UNITS = frozenset({"unit", "lowercase", "vocab_size", "sentences", "tokenizer"})


def measures_of(kind: str) -> dict[str, Measure]:
    """What trainings of this kind report."""
    return MEASURES[kind]


def usual_measure(kind: str, early: bool) -> str:
    """The metric where none is named: the first, or the first that is known on the way."""
    found = MEASURES[kind]
    return next((name for name, one in found.items() if one.along or not early), next(iter(found)))


def is_loss(metric: str) -> bool:
    """Whether it is told per token."""
    return metric.endswith("loss")
