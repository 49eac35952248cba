"""The driver: what a sweep does next is decided from its rows alone, under the lock of its row.

Any worker may drive, by the clock or because it was woken. Two at once decide once: the second one
finds the row locked and leaves it alone. A driver that dies in between has decided nothing.
"""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import SlipwayError
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.recording import sweep_move
from models_app.sweeps.sampling import next_values
from models_app.sweeps.services.trials import (
    failed_alike,
    trial_start,
    trials_compare,
    trials_of,
    trials_settle,
    trials_stop,
)
from models_app.sweeps.states import OPEN, TRIAL_OPEN, Ending, SweepState

logger = logging.getLogger(__name__)
#: So many trials in a row with the same wrong settings, and the sweep is given up.
ALIKE = 3


def sweeps_advance() -> int:
    """Look at every sweep that is not over, each for itself; returns how many. By the clock."""
    rows = Sweep.objects.filter(Q(state__in=OPEN) | Q(trials__state__in=TRIAL_OPEN))
    keys = list(rows.order_by("pk").values_list("pk", flat=True).distinct())
    for key in keys:
        try:
            sweep_advance(key)
        except Exception:
            # Nothing of it is kept, so the next tick tries again.
            logger.exception("sweep %s was not advanced", key)
    return len(keys)


@transaction.atomic
def sweep_advance(sweep_id: int) -> Sweep | None:
    """One step: compare at rungs, settle what has ended, start what there is room for.

    Returns the sweep, or None where another driver is at it.
    """
    rows = Sweep.objects.select_for_update(skip_locked=True, of=("self",))
    sweep = rows.select_related("model__team", "dataset_version", "base_version").filter(
        pk=sweep_id
    ).first()  # fmt: skip
    if sweep is None:
        return None
    trials_compare(sweep, trials_of(sweep))
    trials = trials_settle(sweep)
    same = failed_alike(trials, ALIKE)
    if same is not None and sweep.state in (SweepState.RUNNING, SweepState.FINISHING):
        _give_up(sweep, f"{ALIKE} trials in a row failed by the same: {same.reason}")
    if sweep.state == SweepState.RUNNING:
        trials = _fill(sweep, trials)
    if sweep.state == SweepState.FINISHING and not _open(trials):
        sweep_move(sweep, SweepState.DONE)
        audit_record(actor=SYSTEM, action="sweep.completed", obj=sweep)
    return sweep


def _fill(sweep: Sweep, trials: list[Trial]) -> list[Trial]:
    """Start trials until there are as many as may run, or no others are left."""
    actor = _owner(sweep)
    while _open(trials) < sweep.parallel:
        values = next_values(sweep, trials) if len(trials) < sweep.max_trials else None
        if values is None:
            sweep_move(sweep, SweepState.FINISHING)
            audit_record(actor=SYSTEM, action="sweep.finishing", obj=sweep)
            break
        try:
            with transaction.atomic():
                trials = [*trials, trial_start(actor, sweep, len(trials) + 1, values)]
        except SlipwayError as error:
            # Not these settings are wrong: whose sweep it is may no longer train, for instance.
            _give_up(sweep, f"No trial could be started: {error}")
            break
        same = failed_alike(trials, ALIKE)
        if same is not None:
            _give_up(sweep, f"{ALIKE} trials in a row failed by the same: {same.reason}")
            break
    return trials


def _give_up(sweep: Sweep, reason: str) -> None:
    sweep_move(sweep, SweepState.FAILED, reason=reason)
    audit_record(actor=SYSTEM, action="sweep.failed", obj=sweep, changes={"reason": reason})
    trials_stop(SYSTEM, sweep, Ending.SWEEP, f"Sweep {sweep.pk} was given up.")


def _open(trials: list[Trial]) -> int:
    return sum(trial.state in TRIAL_OPEN for trial in trials)


def _owner(sweep: Sweep) -> Actor:
    """Whose sweep it is: its trials are started with that person's rights, as they are now."""
    if sweep.created_by_id is None:
        return SYSTEM
    user: Any = get_user_model()._default_manager.get(pk=sweep.created_by_id)
    return user  # type: ignore[no-any-return]
