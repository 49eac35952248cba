"""What each task is measured by, and where a figure must not be held against another one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.registry.models import Evaluation
from models_app.registry.states import Task


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure that is a ratio of two sums over rows: `value` by `weight`.

    `name` is also its key in the metrics of an evaluation.
    """

    name: str
    label: str | Promise
    value: Callable[[dict[str, Any]], float]
    weight: Callable[[dict[str, Any]], float]
    less_is_better: bool = False
    #: Whether it is a share of rows, so that Wilson's interval holds for it.
    is_share: bool = False


BITS_PER_BYTE = Measure(
    name="bits_per_byte",
    label=gettext_lazy("Bits per byte"),
    value=lambda row: float(row["nats"]) / math.log(2),
    weight=lambda row: float(row["bytes"]),
    less_is_better=True,
)
NATS_PER_TOKEN = Measure(
    name="nats_per_token",
    label=gettext_lazy("Loss per token"),
    value=lambda row: float(row["nats"]),
    weight=lambda row: float(row["tokens"]),
    less_is_better=True,
)
ACCURACY = Measure(
    name="accuracy",
    label=gettext_lazy("Accuracy"),
    value=lambda row: float(row["correct"]),
    weight=lambda row: 1.0,
    is_share=True,
)
ACCURACY_NORMALISED = Measure(
    name="accuracy_normalised",
    label=gettext_lazy("Accuracy by length"),
    value=lambda row: float(row["correct_normalised"]),
    weight=lambda row: 1.0,
    is_share=True,
)
#: Task -> what evaluations of it can be compared by, the usual one first. Perplexity per token is
#: not among them: it depends on what a tokenizer calls a token.
COMPARABLE: dict[str, tuple[Measure, ...]] = {
    Task.PERPLEXITY: (BITS_PER_BYTE,),
    Task.MULTIPLE_CHOICE: (ACCURACY, ACCURACY_NORMALISED),
    Task.EXACT_MATCH: (ACCURACY,),
}
#: Of one evaluation alone there is more to say.
OWN: dict[str, tuple[Measure, ...]] = {**COMPARABLE, Task.PERPLEXITY: (
    BITS_PER_BYTE, NATS_PER_TOKEN,
)}  # fmt: skip


def measure_get(task: str, name: str = "") -> Measure:
    """The measure of a task by its name, the usual one for an empty name; else FieldError."""
    known = {measure.name: measure for measure in COMPARABLE[task]}
    if name and name not in known:
        raise FieldError("measure", one_of(known))
    return known[name] if name else next(iter(known.values()))


def incomparable(evaluation: Evaluation, measure: Measure) -> str:
    """Why a figure must not be held against that of another model; empty if it may."""
    metrics = evaluation.metrics
    if measure is not BITS_PER_BYTE:
        return ""
    if not metrics.get("lossless", True):
        return _(
            "Its units lose a part of the text, such as capitals or spaces, so it was spared what"
            " others had to predict."
        )
    if unknown := metrics.get("unknown_tokens"):
        said = _(
            "It could not read %(n)s tokens: any unknown one counts the same, however long it is."
        )
        return said % {"n": f"{unknown:,}"}
    return ""
