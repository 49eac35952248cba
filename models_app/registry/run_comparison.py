"""Several runs side by side: what they were given, what differs, whose figure is the best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models_app.jobs.models import JobAttempt
from models_app.registry.environments import environment_diff
from models_app.registry.run_selectors import RunView

#: Endings of names of which more is better; of everything else in question less is.
MORE_IS_BETTER = ("accuracy", "per_second", "f1", "bleu", "score")
#: Figures that say what was done and not how well.
NEUTRAL = ("parameters", "tokens", "steps", "step", "tokens_seen", "train_tokens", "vocab_size",
           "learning_rate", "memory_bytes", "seed", "attempt", "unigram_entropy")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """One setting or figure over all runs; `best` are the places of the best value."""

    name: str
    values: Sequence[Any]
    differs: bool
    best: frozenset[int] = frozenset()

    @property
    def cells(self) -> list[tuple[Any, bool]]:
        return [(value, place in self.best) for place, value in enumerate(self.values)]


def runs_compare(views: Sequence[RunView]) -> dict[str, list[Line]]:
    """`params` and `metrics`, by name; each line knows whether it differs."""
    return {
        "params": [_line(name, views, "params") for name in _names(views, "params")],
        "metrics": [_line(name, views, "metrics") for name in _names(views, "metrics")],
        "environment": environment_lines([view.pk for view in views]),
    }


def environment_lines(run_ids: Sequence[int]) -> list[Line]:
    """What the newest attempts of these runs did not have in common: packages, threads, devices.

    A run whose environment nobody has recorded has None everywhere.
    """
    rows = JobAttempt.objects.filter(job__in=run_ids).order_by("epoch")
    known = dict(rows.values_list("job_id", "environment"))
    sides = [known.get(pk) or None for pk in run_ids]
    first = next((side for side in sides if side), None)
    if first is None:
        return []
    changes = [
        {change["part"]: change for change in environment_diff(first, side)} if side else None
        for side in sides
    ]
    recorded = {
        part: change["recorded"] for each in changes if each for part, change in each.items()
    }
    return [
        Line(
            name=part,
            values=[
                None if each is None else each[part]["found"] if part in each else value
                for each in changes
            ],
            differs=True,
        )
        for part, value in sorted(recorded.items())
    ]


def _names(views: Sequence[RunView], group: str) -> list[str]:
    return sorted({name for view in views for name in getattr(view, group)})


def _line(name: str, views: Sequence[RunView], group: str) -> Line:
    values = [getattr(view, group).get(name) for view in views]
    best = _best(name, values) if group == "metrics" else frozenset()
    return Line(name=name, values=values, differs=len(set(map(str, values))) > 1, best=best)


def _best(name: str, values: Sequence[Any]) -> frozenset[int]:
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(set(known)) < 2 or name in NEUTRAL:
        return frozenset()
    top = max(known) if name.endswith(MORE_IS_BETTER) else min(known)
    return frozenset(place for place, value in enumerate(values) if value == top)
