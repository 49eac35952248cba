"""Evaluations of any models side by side: those of the same data, task and settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.registry.models import Evaluation
from models_app.registry.scoring.bootstrap import CONFIDENCE, RESAMPLES, SEED
from models_app.registry.scoring.measures import Measure, incomparable, measure_get
from models_app.registry.scoring.pairing import Pair, Standing, Standings, standings_of
from models_app.registry.selectors import evaluations_named

LEAST, MOST = 2, 8
#: Rows of all files of scores together, which a page reads while somebody waits.
MOST_ROWS = 1_000_000
#: How a task asks; figures of different ways of asking say nothing about models.
SETTINGS = ("delimiter", "max_tokens", "stop")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One evaluation among others. Without a standing `reason` says why it is held against none."""

    evaluation: Evaluation
    reason: str
    standing: Standing | None

    @property
    def pair(self) -> Pair | None:
        return self.standing.pair if self.standing else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All of them in the order in which they were asked for."""

    measure: Measure
    baseline: Evaluation
    #: Why nothing can be held against the baseline; empty if it can.
    baseline_reason: str
    rows: int
    compared: Sequence[Compared]


def evaluations_compare(
    *, actor: Actor, ids: Sequence[int], baseline: int | None = None, measure: str = ""
) -> Comparison:
    """Compare evaluations by their ids with the baseline: unless one is named, the first that fits.

    Raises NotFound for one that is missing or hidden, FieldError where they do not belong together.
    """
    ids = list(dict.fromkeys(ids))
    if not LEAST <= len(ids) <= MOST:
        said = _("Choose %(least)s to %(most)s evaluations; %(n)s are chosen.")
        raise FieldError("e", said % {"least": LEAST, "most": MOST, "n": len(ids)})
    rows = evaluations_named(actor=actor, ids=ids)
    by = measure_get(rows[0].task, measure)
    _check(rows)
    reasons = {row.pk: incomparable(row, by) for row in rows}
    fit = [row for row in rows if not reasons[row.pk]]
    base = _baseline(rows, fit, baseline)
    found = _standings(fit, base, by)
    return Comparison(
        measure=by,
        baseline=base,
        baseline_reason=reasons[base.pk],
        rows=found.rows,
        compared=[
            Compared(evaluation=row, reason=reasons[row.pk], standing=standing)
            for row, standing in _beside(rows, fit, found)
        ],
    )


def _baseline(
    rows: Sequence[Evaluation], fit: Sequence[Evaluation], named: int | None
) -> Evaluation:
    if named is None:
        return fit[0] if fit else rows[0]
    for row in rows:
        if row.pk == named:
            return row
    raise FieldError("baseline", _("Choose one of the evaluations that are compared."))


def _standings(fit: Sequence[Evaluation], base: Evaluation, by: Measure) -> Standings:
    if not fit:
        return Standings(rows=0, standings=())
    place = fit.index(base) if base in fit else None
    found = standings_of([row.scores_sha256 for row in fit], by, place)
    if not found.rows:
        raise FieldError("e", _("No document was scored in all of them."))
    return found


def _beside(
    rows: Sequence[Evaluation], fit: Sequence[Evaluation], found: Standings
) -> list[tuple[Evaluation, Standing | None]]:
    known = {row.pk: standing for row, standing in zip(fit, found.standings, strict=True)}
    return [(row, known.get(row.pk)) for row in rows]


def _check(rows: Sequence[Evaluation]) -> None:
    """FieldError that names the first one of other data, another task or other settings."""
    for row in rows[1:]:
        if said := _apart(row, rows[0]):
            raise FieldError("e", said)
    total = sum(int(row.metrics.get("documents", 0)) for row in rows)
    if total > MOST_ROWS:
        said = _("They have %(n)s scores together, more than %(most)s. Evaluate fewer documents.")
        raise FieldError("e", said % {"n": f"{total:,}", "most": f"{MOST_ROWS:,}"})


def _apart(row: Evaluation, first: Evaluation) -> str:
    """Why two cannot stand side by side; empty if they can."""
    words = {"row": f"{row} (#{row.pk})", "first": f"{first} (#{first.pk})"}
    if row.dataset_version_id != first.dataset_version_id:
        return _("%(row)s is of other data than %(first)s. Choose those of one version.") % words
    if row.split != first.split:
        said = _("%(row)s is of the split %(ours)s, but %(first)s of %(theirs)s.")
        return said % {**words, "ours": row.split, "theirs": first.split}
    if row.task != first.task:
        said = _("%(row)s is of the task “%(ours)s”, but %(first)s of “%(theirs)s”.")
        tasks = {"ours": row.get_task_display(), "theirs": first.get_task_display()}
        return said % {**words, **tasks}
    if _settings(row) != _settings(first):
        said = _("%(row)s was asked with %(ours)s, but %(first)s with %(theirs)s.")
        return said % {**words, "ours": _told(row), "theirs": _told(first)}
    return ""


def _told(row: Evaluation) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in _settings(row).items())


def _settings(row: Evaluation) -> dict[str, Any]:
    return {name: row.metrics[name] for name in SETTINGS if name in row.metrics}


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Everything about a comparison, as plain JSON."""
    base = found.baseline
    return {
        "dataset_version": base.dataset_version_id,
        "split": base.split,
        "task": base.task,
        "measure": found.measure.name,
        "less_is_better": found.measure.less_is_better,
        "baseline": base.pk,
        "baseline_reason": found.baseline_reason,
        "documents": found.rows,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "seed": SEED,
        "evaluations": [_compared_json(row) for row in found.compared],
    }


def _compared_json(row: Compared) -> dict[str, Any]:
    evaluation, standing = row.evaluation, row.standing
    return {
        "id": evaluation.pk,
        "version": evaluation.version_id,
        "name": str(evaluation.version),
        "family": evaluation.version.model.family,
        "metrics": evaluation.metrics,
        "comparable": standing is not None,
        "reason": row.reason,
        "value": standing.value if standing else None,
        "interval": _ends(standing.interval) if standing else None,
        "difference": _pair_json(row.pair) if row.pair else None,
    }


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "value": pair.difference,
        "interval": _ends(pair.interval),
        "verdict": pair.verdict,
        "won": pair.won,
        "lost": pair.lost,
        "tied": pair.tied,
        "documents": [
            {
                "document": gap.document, "value": gap.value, "baseline": gap.other,
                "difference": gap.difference,
            }
            for gap in (*pair.best, *pair.worst)
        ],
    }  # fmt: skip


def _ends(found: Any) -> list[float] | None:
    return [found.low, found.high] if found else None
