"""What people do to sweeps: pause, resume, stop."""

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import WrongState
from models_app.core.permission import require
from models_app.sweeps.models import Sweep
from models_app.sweeps.recording import sweep_move
from models_app.sweeps.services.trials import trials_settle, trials_stop
from models_app.sweeps.states import Ending, SweepState
from models_app.sweeps.waking import wake_on_commit

PERM = "registry.add_version"


@transaction.atomic
def sweep_pause(*, actor: Actor, sweep: Sweep) -> Sweep:
    """Start no trial until it is resumed. What runs goes on. Raises WrongState."""
    sweep = _locked(actor, sweep)
    if sweep.state == SweepState.PAUSED:
        return sweep
    if sweep.state == SweepState.FINISHING:
        raise WrongState(_("All trials have been started: there is nothing left to pause."))
    sweep_move(sweep, SweepState.PAUSED)
    audit_record(actor=actor, action="sweep.paused", obj=sweep)
    return sweep


@transaction.atomic
def sweep_resume(*, actor: Actor, sweep: Sweep) -> Sweep:
    """Start trials again. Raises WrongState for one that is over."""
    sweep = _locked(actor, sweep)
    if sweep.state in (SweepState.RUNNING, SweepState.FINISHING):
        return sweep
    sweep_move(sweep, SweepState.RUNNING)
    audit_record(actor=actor, action="sweep.resumed", obj=sweep)
    wake_on_commit(sweep.pk)
    return sweep


@transaction.atomic
def sweep_stop(*, actor: Actor, sweep: Sweep) -> Sweep:
    """Cancel what runs and start nothing more. Finished trials stay. Raises WrongState."""
    sweep = _locked(actor, sweep)
    if sweep.state == SweepState.STOPPED:
        return sweep
    sweep_move(sweep, SweepState.STOPPED, reason=f"Stopped by {actor.label}.")
    audit_record(actor=actor, action="sweep.stopped", obj=sweep)
    trials_stop(actor, sweep, Ending.SWEEP, f"Sweep {sweep.pk} was stopped by {actor.label}.")
    trials_settle(sweep)
    wake_on_commit(sweep.pk)
    return sweep


def _locked(actor: Actor, sweep: Sweep) -> Sweep:
    """The row as it is now; the lock puts people and drivers into a line."""
    require(actor, PERM, sweep)
    return Sweep.objects.select_for_update(of=("self",)).select_related("model").get(pk=sweep.pk)
