"""Sweeps and trials move from state to state, and pages hear of it."""

from typing import Any

from django.db.models.functions import Now

from models_app.core.states import advance
from models_app.events.publish import publish_on_commit
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.states import ALLOWED, OPEN, TRIAL_ALLOWED, TRIAL_OPEN


def sweep_move(sweep: Sweep, to: str, *, reason: str = "") -> None:
    """The sweep is in another state now. Raises WrongState where it cannot be."""
    over = {} if to in OPEN else {"finished_at": Now(), "reason": reason}
    advance(sweep, to, allowed=ALLOWED, **over)
    announce(sweep)


def trial_move(trial: Trial, to: str, **changes: Any) -> None:
    """The trial is in another state now. Raises WrongState where it cannot be."""
    if to not in TRIAL_OPEN:
        changes = {"finished_at": Now(), **changes}
    advance(trial, to, allowed=TRIAL_ALLOWED, **changes)
    announce(trial.sweep)


def announce(sweep: Sweep) -> None:
    """Tell the page of the sweep and the lists of its team, after commit."""
    data = {"id": sweep.pk, "state": str(sweep.state)}
    publish_on_commit("sweep.changed", data, f"sweep.{sweep.pk}", f"team.{sweep.team_id}")
