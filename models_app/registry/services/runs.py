"""Training runs: noted beside the trainings done here, begun and reported by programs elsewhere."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import Conflict, FieldError, InvalidInput, WrongState
from models_app.core.permission import can_see, require
from models_app.datasets.models import DatasetVersion
from models_app.jobs.elsewhere import (
    is_elsewhere,
    job_begin_elsewhere,
    job_end_elsewhere,
    job_report_elsewhere,
)
from models_app.jobs.models import Job
from models_app.registry.models import Model, ModelVersion
from models_app.registry.runs import EXTERNAL, RunParam, TrainingRun, param_row, params_of
from models_app.registry.services.tags import tags_change

#: How many parameters a run may have, and points one report.
MOST_PARAMS, MOST_POINTS = 1000, 1000


def run_note(*, job: Job, version: ModelVersion, settings: Mapping[str, Any]) -> TrainingRun:
    """What a training done here was given; in the transaction that makes its job."""
    data = version.dataset_version
    run = TrainingRun.objects.create(
        job=job,
        team_id=job.team_id,
        name=f"{version.model.name} v{version.number}",
        model_id=version.model_id,
        dataset_version=data,
        dataset_id=data.dataset_id if data else None,
        created_by_id=job.created_by_id,
        created_at=job.created_at,
    )
    RunParam.objects.bulk_create(param_row(job.pk, *pair) for pair in params_of(settings))
    return run


@transaction.atomic
def run_begin(
    *,
    actor: Actor,
    team: Any,
    name: str,
    model: Model | None = None,
    dataset_version: DatasetVersion | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> TrainingRun:
    """A run whose work is done elsewhere begins: it is running from now on.

    Raises InvalidInput naming what cannot be kept. The same key returns the run that exists.
    """
    require(actor, "registry.log_run", team)
    for field, row in (("model", model), ("dataset_version", dataset_version)):
        if row is not None and not (can_see(actor, row) and row.team_id == team.pk):
            raise FieldError(field, _("Choose one of the same team."))
    job, is_new = job_begin_elsewhere(
        actor=actor, team=team, kind=EXTERNAL, title=name, idempotency_key=idempotency_key
    )
    if not is_new:
        return TrainingRun.objects.get(job=job)
    run = TrainingRun.objects.create(
        job=job,
        team=team,
        name=job.title,
        model=model,
        dataset_version=dataset_version,
        dataset_id=dataset_version.dataset_id if dataset_version else None,
        created_by_id=actor.pk,
        created_at=job.created_at,
    )
    if params:
        _add_params(run, params)
    if tags:
        tags_change(actor=actor, thing=job, tags=tags)
    return run


def run_log_metrics(
    *, actor: Actor, job: Job, points: Sequence[tuple[str, int, float, dt.datetime | None]]
) -> None:
    """Store `(name, step, value, at)` of a run's job, in one statement; a repeated step replaces
    its value.
    """
    _require_open(actor, job)
    if len(points) > MOST_POINTS:
        raise FieldError("points", _("Send at most %(most)s at once.") % {"most": MOST_POINTS})
    moment = now().isoformat()
    rows = [
        (name, step, value, at.isoformat() if at else moment) for name, step, value, at in points
    ]
    job_report_elsewhere(job=job, points=rows)


@transaction.atomic
def run_log_params(*, actor: Actor, run: TrainingRun, params: Mapping[str, Any]) -> None:
    """Add parameters. One that is there already stays: another value for it is a Conflict."""
    _require_open(actor, run.job)
    _add_params(run, params)


@transaction.atomic
def run_end(*, actor: Actor, run: TrainingRun, state: str, reason: str = "") -> TrainingRun:
    """The program says how the run ended: succeeded, failed or canceled."""
    _require_open(actor, run.job)
    run.job = job_end_elsewhere(job=run.job, state=state, reason=reason)
    return run


def _require_open(actor: Actor, job: Job) -> None:
    require(actor, "registry.log_run", job)
    if not is_elsewhere(job):
        raise WrongState(_("Only runs that were begun from elsewhere are reported from there."))


def _add_params(run: TrainingRun, params: Mapping[str, Any]) -> None:
    rows = {name: param_row(run.pk, name, value) for name, value in params_of(params)}
    errors: dict[str, str | list[str]] = {
        f"params.{name[:100]}": _("Use 1 to 250 characters.")
        for name in rows
        if not 0 < len(name) <= 250
    }
    if errors:
        raise InvalidInput(errors)
    there = dict(run.params.filter(name__in=rows).values_list("name", "text"))
    for name, text in there.items():
        if rows[name].text != text:
            said = _("The parameter %(name)s is %(value)s already; parameters do not change.")
            raise Conflict(said % {"name": name, "value": text}, field=f"params.{name}")
    new = [row for name, row in rows.items() if name not in there]
    if new and run.params.count() + len(new) > MOST_PARAMS:
        raise FieldError("params", _("At most %(most)s parameters.") % {"most": MOST_PARAMS})
    RunParam.objects.bulk_create(new)
