"""Sweeps in words: what varies, and what each trial came to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from console.pages.figures import figure
from models_app.configs.comparison import value_text
from models_app.sweeps.models import Trial


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial with its values in the order of the columns."""

    trial: Trial
    values: list[tuple[str, str]]
    is_best: bool
    value: str
    at: int | None


def trial_rows(trials: Iterable[Trial], names: Sequence[str], best: Trial | None) -> list[TrialRow]:
    """Rows of the table."""
    return [
        TrialRow(
            trial=trial,
            values=[(name, _word(trial.values.get(name))) for name in names],
            is_best=trial == best,
            value=_value(trial),
            at=trial.rungs[-1]["step"] if trial.rungs else None,
        )
        for trial in trials
    ]


def dimension_words(one: Mapping[str, Any]) -> str:
    """What a setting may be, in one line."""
    if "values" in one:
        return ", ".join(_word(value) for value in one["values"])
    words = {"low": _word(one["low"]), "high": _word(one["high"])}
    said = _("%(low)s to %(high)s") % words
    if one.get("log"):
        said = _("%(range)s, by factors") % {"range": said}
    if one.get("step"):
        said = _("%(range)s in steps of %(step)s") % {"range": said, "step": _word(one["step"])}
    if one.get("points"):
        said = _("%(range)s, %(n)s points") % {"range": said, "n": one["points"]}
    return said


def _value(trial: Trial) -> str:
    """Its value or, while it runs, that of the last rung."""
    if trial.value is not None:
        return figure(trial.value)
    return figure(trial.rungs[-1]["value"]) if trial.rungs else "–"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return figure(value)
    return value_text(value)
