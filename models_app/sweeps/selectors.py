"""Reads sweeps and trials, filtered by what the actor may see."""

from collections.abc import Iterable

from django.db.models import Count, Q, QuerySet

from models_app.core.actor import Actor
from models_app.registry.models import Model
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.states import TRIAL_OPEN, TrialState

_WITH = ("team", "created_by", "model", "dataset_version__dataset", "config_revision__config")


def sweep_list(
    *, actor: Actor, team: str = "", state: str = "", model: Model | None = None
) -> QuerySet[Sweep]:
    """Newest first, each with `num_trials`, `num_open`, `num_done`, `num_stopped`, `num_failed`."""
    rows = Sweep.objects.visible_to(actor).select_related(*_WITH)
    given = {"team__slug": team, "state": state, "model": model}
    rows = rows.filter(**{name: value for name, value in given.items() if value})
    return _counted(rows).order_by("-id")


def sweep_get(*, actor: Actor, sweep_id: int) -> Sweep:
    """One sweep with the same numbers, or NotFound."""
    Sweep.objects.get_columns(actor, sweep_id, "state")
    return _counted(Sweep.objects.select_related(*_WITH)).get(pk=sweep_id)


def trial_list(*, sweep: Sweep, state: str = "") -> QuerySet[Trial]:
    """Its trials with their trainings, the newest first."""
    rows = Trial.objects.filter(sweep=sweep).select_related(
        "sweep__model", "version__model__team", "version__produced_by"
    )
    return (rows.filter(state=state) if state else rows).order_by("-id")


def bests(sweeps: Iterable[Sweep]) -> dict[int, Trial]:
    """The best finished trial of each sweep that has one; of equals the earlier one."""
    found: dict[int, Trial] = {}
    known = {sweep.pk: sweep for sweep in sweeps}
    rows = Trial.objects.filter(
        sweep__in=known, state=TrialState.DONE, value__isnull=False
    ).select_related("version__model__team", "version__produced_by")
    for trial in rows.order_by("number"):
        best = found.get(trial.sweep_id)
        assert trial.value is not None
        sweep = known[trial.sweep_id]
        if best is None or best.value is None or sweep.better(trial.value, best.value):
            found[trial.sweep_id] = trial
    return found


def best_so_far(sweep: Sweep, trials: Iterable[Trial]) -> list[tuple[int, float]]:
    """Number of finished trials -> the best value by then, in the order in which they ended."""
    done = [trial for trial in trials
            if trial.state == TrialState.DONE and trial.value is not None]  # fmt: skip
    done.sort(key=lambda trial: (trial.finished_at, trial.number))
    line: list[tuple[int, float]] = []
    for count, trial in enumerate(done, 1):
        assert trial.value is not None
        better = not line or sweep.better(trial.value, line[-1][1])
        line.append((count, trial.value if better else line[-1][1]))
    return line


def _counted(rows: QuerySet[Sweep]) -> QuerySet[Sweep]:
    counted: QuerySet[Sweep] = rows.annotate(
        num_trials=Count("trials"),
        num_open=Count("trials", filter=Q(trials__state__in=TRIAL_OPEN)),
        num_done=Count("trials", filter=Q(trials__state=TrialState.DONE)),
        num_stopped=Count("trials", filter=Q(trials__state=TrialState.STOPPED)),
        num_failed=Count("trials", filter=Q(trials__state=TrialState.FAILED)),
    )
    return counted
