"""Which figures and settings the table of runs shows, and how it is sorted by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models_app.registry.run_selectors import RunView

MOST_COLUMNS = 12
#: Shown at first, as far as any run has them.
FIRST = (
    "metrics.validation_loss", "metrics.loss", "metrics.tokens_per_second", "params.learning_rate",
    "params.batch_size", "params.steps",
)  # fmt: skip
LEAST, FIRST_COUNT = 2, 5


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: `metrics.loss`, its title, and the order that a click on it gives."""

    key: str
    title: str
    order: str
    #: "ascending", "descending" or empty.
    sorted: str


def known_keys(views: Sequence[RunView]) -> list[str]:
    """Everything that these runs have, figures first."""
    metrics = {f"metrics.{name}" for view in views for name in view.metrics}
    params = {f"params.{name}" for view in views for name in view.params}
    return [*sorted(metrics), *sorted(params)]


def chosen_keys(asked: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns that the address names, or those that most people look at first."""
    names = [key for key in dict.fromkeys(asked) if key.startswith(("metrics.", "params."))]
    if names:
        return names[:MOST_COLUMNS]
    usual = [key for key in FIRST if key in known]
    more = [key for key in known if key not in usual]
    return (usual + more[: max(0, LEAST - len(usual))])[:FIRST_COUNT]


def columns_of(keys: Sequence[str], order: str) -> list[Column]:
    """The columns with what a click on each does: smallest first, then largest first."""
    return [
        Column(
            key=key,
            title=key.partition(".")[2],
            order=f"-{key}" if order == key else key,
            sorted={key: "ascending", f"-{key}": "descending"}.get(order, ""),
        )
        for key in keys
    ]


def value_of(view: RunView, key: str) -> Any:
    """What a run has in a column, None where nothing."""
    group, _dot, name = key.partition(".")
    values: dict[str, Any] = getattr(view, group)
    return values.get(name)
