"""Trials of a sweep whose row is locked: begun, compared, stopped, brought to their end."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils import translation

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import InvalidInput, WrongState
from models_app.jobs.metrics import metric_at, metric_latest
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from models_app.jobs.states import TERMINAL, JobState, ReasonCode
from models_app.registry.services import training_start
from models_app.sweeps.halving import WORST, goes_on
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.recording import announce, trial_move
from models_app.sweeps.states import TRIAL_OPEN, Ending, TrialState

#: What the state of an ended job makes of its trial.
ENDED = {JobState.SUCCEEDED: TrialState.DONE, JobState.CANCELED: TrialState.STOPPED}
#: Of versions and jobs, what is large and nobody here reads.
UNREAD = tuple(
    [f"version__{name}" for name in ("manifest", "facts", "metrics", "environment", "source")]
    + [f"version__produced_by__{name}" for name in ("params", "inputs", "result")]
)
BROKEN = (JobState.FAILED, JobState.TIMED_OUT)


def trials_of(sweep: Sweep) -> list[Trial]:
    """All trials in order, with their trainings and jobs."""
    rows = sweep.trials.select_related("version__produced_by").defer(*UNREAD)
    found = list(rows.order_by("number"))
    for trial in found:
        trial.sweep = sweep
    return found


def trial_start(actor: Actor, sweep: Sweep, number: int, values: dict[str, Any]) -> Trial:
    """Begin a training with these settings. A refusal is a failed trial.

    Raises what else training_start does: the sweep cannot go on then.
    """
    trial = Trial.objects.create(sweep=sweep, number=number, values=values)
    try:
        # What is stored stays English, as others read it too.
        with transaction.atomic(), translation.override("en"):
            trial.version = training_start(
                actor=actor, team=sweep.team, model=sweep.model,
                dataset_version=sweep.dataset_version, spec={**sweep.base, **values},
                base_version=sweep.base_version, config_revision=sweep.config_revision,
                reason=f"Trial {number} of sweep {sweep.pk}", priority=sweep.priority,
                pool=sweep.pool, resources=dict(sweep.resources),
            )  # fmt: skip
    except InvalidInput as error:
        trial_move(
            trial, TrialState.FAILED, code=ReasonCode.CONFIG_INVALID, reason=str(error),
            signature=" ".join(sorted(error.errors))[:300],
        )  # fmt: skip
        return trial
    trial.save(update_fields=["version"])
    changes = {"number": number, "values": values, "version": str(trial.version)}
    audit_record(actor=actor, action="trial.started", obj=trial, changes=changes)
    announce(sweep)
    return trial


def trials_compare(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Note who has reached which rung, and stop those that are not among the best there.

    Everybody who has got to a rung since the last look is noted before anybody there is judged.
    """
    factor = sweep.reduction_factor
    for place, step in enumerate(sweep.rungs):
        new = [trial for trial in trials if _reaches(sweep, trial, place, step)]
        reached = [_signed(sweep, trial.rungs[place]["value"])
                   for trial in trials if len(trial.rungs) > place]  # fmt: skip
        # One that broke on its way to this rung counts as the worst that got there.
        reached += [WORST for trial in trials if _broke_before(trial, place)]
        for trial in new:
            value = _signed(sweep, trial.rungs[place]["value"])
            assert factor is not None
            if trial.state == TrialState.RUNNING and not goes_on(value, reached, factor):
                said = f"Not among the best 1/{factor} of {len(reached)} at step {step}."
                trial_stop(SYSTEM, trial, Ending.BEATEN, f"Stopped by sweep {sweep.pk}: {said}")


def trials_stop(actor: Actor, sweep: Sweep, ending: str, reason: str) -> None:
    """Stop all that run."""
    for trial in trials_of(sweep):
        if trial.state == TrialState.RUNNING:
            trial_stop(actor, trial, ending, reason)


def trial_stop(actor: Actor, trial: Trial, ending: str, reason: str) -> None:
    """Cancel its training; it is over when that is. One that has just ended is left as it is."""
    try:
        job_cancel(actor=actor, job=trial.job, code=ReasonCode.STOPPED_EARLY, reason=reason)
    except WrongState:
        return
    trial_move(trial, TrialState.STOPPING, ending=ending, reason=reason)
    changes = {"why": ending, "rungs": trial.rungs}
    audit_record(actor=actor, action="trial.stopped", obj=trial, changes=changes)


def trials_settle(sweep: Sweep) -> list[Trial]:
    """Trials whose trainings are over are over; returns all as they are now."""
    trials = trials_of(sweep)
    for trial in trials:
        if trial.state in TRIAL_OPEN and trial.job.state in TERMINAL:
            _settle(sweep, trial, trial.job)
    return trials


def failed_alike(trials: Iterable[Trial], times: int) -> Trial | None:
    """The newest of so many trials that failed in a row by the same wrong settings, or None."""
    ended = [trial for trial in trials if trial.state not in TRIAL_OPEN]
    ended.sort(key=lambda trial: (trial.finished_at, trial.number))
    last = ended[-times:]
    alike = {(trial.code, trial.signature) for trial in last}
    if len(last) < times or len(alike) > 1 or last[-1].code != ReasonCode.CONFIG_INVALID:
        return None
    return last[-1]


def _settle(sweep: Sweep, trial: Trial, job: Job) -> None:
    to = ENDED.get(JobState(job.state), TrialState.FAILED)
    if to == TrialState.DONE:
        found = metric_latest(job=job).get(sweep.metric)
        if found is None:
            said = f"It ended well without reporting {sweep.metric}."
            trial_move(trial, TrialState.FAILED, code=ReasonCode.USER_CODE, reason=said, ending="")
            return
        trial_move(trial, to, value=found[1], ending="", reason="")
    elif to == TrialState.STOPPED:
        value = trial.rungs[-1]["value"] if trial.rungs else None
        why = {"ending": trial.ending or Ending.PERSON, "reason": trial.reason or job.reason}
        trial_move(trial, to, value=value, **why)
    else:
        trial_move(
            trial, to, code=job.reason_code, reason=job.reason, signature=job.reason[:300],
            ending="",
        )  # fmt: skip


def _reaches(sweep: Sweep, trial: Trial, place: int, step: int) -> bool:
    """Whether the trial has got to this rung since the last look; then that is noted."""
    if trial.state not in TRIAL_OPEN or len(trial.rungs) != place:
        return False
    found = metric_at(job_id=trial.job.pk, name=sweep.metric, step=step)
    if found is None:
        return False
    trial.rungs = [*trial.rungs, {"step": step, "value": found[1]}]
    trial.save(update_fields=["rungs"])
    announce(sweep)
    return True


def _broke_before(trial: Trial, place: int) -> bool:
    """Whether its training failed on the way to this rung, noticed already or not."""
    job = trial.job
    return job is not None and job.state in BROKEN and len(trial.rungs) == place


def _signed(sweep: Sweep, value: float) -> float:
    """The lower the better."""
    return value if sweep.measure.lower_is_better else -value
