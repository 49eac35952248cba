"""Experiments, and the runs that programs log into them: begun, written, renamed, ended."""

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import state_word
from models_app.events.publish import publish_on_commit
from models_app.jobs.elsewhere import job_reopen_elsewhere
from models_app.jobs.models import Job, MetricPoint
from models_app.jobs.selectors import job_alone
from models_app.jobs.states import HELD, TERMINAL, JobState
from models_app.registry.experiments import (
    DEFAULT,
    LONGEST_NAME,
    Experiment,
    LoggedRun,
    SidePoint,
    new_key,
)
from models_app.registry.runs import LONGEST_TEXT, RunParam, TrainingRun
from models_app.registry.services.runs import MOST_PARAMS, run_begin, run_end, run_log_metrics
from models_app.registry.services.tags import tags_change

#: Data that one run may say it read.
MOST_INPUTS = 100
#: name, step, value (perhaps no number), at
Point = tuple[str, int, float, dt.datetime]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@transaction.atomic
def experiment_create(
    *, actor: Actor, team: Any, name: str, tags: Mapping[str, str] | None = None
) -> Experiment:
    """A new experiment of a team. Raises FieldError, and Conflict where the name is taken."""
    require(actor, "registry.log_run", team)
    name = clean_title(name, "name", LONGEST_NAME)
    try:
        with transaction.atomic():
            experiment = Experiment.objects.create(
                team=team, name=name, created_by_id=actor.pk, tags=dict(tags or {})
            )
    except IntegrityError:
        said = _("There is an experiment %(name)s already.") % {"name": name}
        raise Conflict(said, field="name") from None
    audit_record(actor=actor, action="experiment.created", obj=experiment, changes={"name": name})
    return experiment


def experiment_default(*, actor: Actor, team: Any) -> Experiment:
    """The experiment of a team for runs that name none; made when the first one comes."""
    known = Experiment.objects.select_related("team").filter(team=team, name=DEFAULT).first()
    if known is not None:
        require(actor, "registry.view_model", known)
        return known
    try:
        return experiment_create(actor=actor, team=team, name=DEFAULT)
    except Conflict:  # two first runs at once
        return Experiment.objects.select_related("team").get(team=team, name=DEFAULT)


@transaction.atomic
def experiment_tag(*, actor: Actor, experiment: Experiment, name: str, value: str) -> None:
    """Note a text on an experiment."""
    require(actor, "registry.log_run", experiment)
    row = Experiment.objects.select_for_update().get(pk=experiment.pk)
    changes = {name: {"from": row.tags.get(name), "to": value}}
    row.tags[name] = value
    row.save(update_fields=["tags"])
    audit_record(actor=actor, action="experiment.tagged", obj=row, changes=changes)


@transaction.atomic
def logged_run_begin(
    *,
    actor: Actor,
    experiment: Experiment,
    name: str,
    started_ms: int,
    tags: Mapping[str, str | None],
) -> LoggedRun:
    """A run in an experiment begins; without a name it is called after its key."""
    key = new_key()
    run = run_begin(actor=actor, team=experiment.team, name=name or f"run-{key[:8]}")
    logged = LoggedRun.objects.create(
        run=run, experiment=experiment, key=key, started_ms=started_ms
    )
    logged_run_write(actor=actor, logged=logged, tags=tags)
    return logged


@transaction.atomic
def logged_run_write(
    *,
    actor: Actor,
    logged: LoggedRun,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str | None] | None = None,
) -> None:
    """Store what a program logs, all of it or nothing; the same again changes nothing.

    Of a step that comes several times every value is kept. Raises Conflict for a parameter that is
    there with another value, WrongState for points of a run that is over; FieldError, InvalidInput.
    """
    job = job_alone(actor=actor, job_id=logged.pk)
    require(actor, "registry.log_run", job)
    if params or tags or points:
        # The lock puts writers of one run into a line, so that none overwrites the other's texts,
        # nor the value of a step before it is kept.
        logged = LoggedRun.objects.select_for_update(of=("self",)).get(pk=logged.pk)
    if params:
        _add_params(logged, params)
    if tags:
        _set_tags(actor, logged, job, tags)
    if points:
        _add_points(actor, logged, job, points)


@transaction.atomic
def logged_run_end(
    *, actor: Actor, logged: LoggedRun, state: str, ended_ms: int | None
) -> LoggedRun:
    """Its program says how it ended. Said again it changes nothing; WrongState where the run has
    ended otherwise."""
    # First this row, then the job's, as those who write tags do it.
    LoggedRun.objects.select_for_update(of=("self",)).get(pk=logged.pk)
    run = TrainingRun.objects.select_related("job").get(pk=logged.pk)
    require(actor, "registry.log_run", run)
    if run.job.state != state or run.job.state not in TERMINAL:
        run_end(actor=actor, run=run, state=state)
    if ended_ms is not None:
        LoggedRun.objects.filter(pk=logged.pk).update(ended_ms=ended_ms)
        logged.ended_ms = ended_ms
    return logged


@transaction.atomic
def logged_run_resume(*, actor: Actor, logged: LoggedRun) -> None:
    """Its program goes on with it, also after its end: then it runs again."""
    LoggedRun.objects.select_for_update(of=("self",)).get(pk=logged.pk)
    job = job_alone(actor=actor, job_id=logged.pk)
    require(actor, "registry.log_run", job)
    if job.state in TERMINAL:
        was = {"state": {"from": job.state, "to": JobState.RUNNING}}
        job_reopen_elsewhere(job=job)
        LoggedRun.objects.filter(pk=logged.pk).update(ended_ms=None)
        logged.ended_ms = None
        audit_record(actor=actor, action="run.reopened", obj=job, changes=was)


@transaction.atomic
def run_rename(*, actor: Actor, run_id: int, name: str) -> None:
    """Another name for a run that works elsewhere."""
    rows = TrainingRun.objects.select_for_update(no_key=True, of=("self",))
    run = rows.select_related("job").get(pk=run_id)
    require(actor, "registry.log_run", run)
    name = clean_title(name, "name")
    if run.name == name:
        return
    changes = {"name": {"from": run.name, "to": name}}
    TrainingRun.objects.filter(pk=run_id).update(name=name)
    Job.objects.filter(pk=run_id).update(title=name)
    audit_record(actor=actor, action="run.renamed", obj=run.job, changes=changes)
    told = {"id": run_id, "state": run.job.state}
    publish_on_commit("job.changed", told, f"job.{run_id}")


@transaction.atomic
def logged_run_read(
    *, actor: Actor, logged: LoggedRun, inputs: Sequence[Mapping[str, Any]]
) -> None:
    """Its program says which data it reads; the same data (name and digest) is kept once."""
    require(actor, "registry.log_run", logged)
    row = LoggedRun.objects.select_for_update(of=("self",)).get(pk=logged.pk)
    known = {_which(one): one for one in row.inputs}
    known |= {_which(one): dict(one) for one in inputs}
    if len(known) > MOST_INPUTS:
        said = _("At most %(most)s datasets for one run.") % {"most": MOST_INPUTS}
        raise FieldError("datasets", said)
    row.inputs = list(known.values())
    row.save(update_fields=["inputs"])


def _which(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one["dataset"]["name"]), str(one["dataset"]["digest"])


def _add_params(logged: LoggedRun, params: Mapping[str, str]) -> None:
    given = RunParam.objects.filter(run=logged.pk)
    there = dict(given.filter(name__in=[*params]).values_list("name", "text"))
    there |= logged.long_texts.get("params", {})
    new = {name: text for name, text in params.items() if name not in there}
    for name in params.keys() - new.keys():
        if there[name] != params[name]:
            said = _("The parameter %(name)s is %(value)s already; parameters do not change.")
            words = {"name": name, "value": there[name][:LONGEST_TEXT]}
            raise Conflict(said % words, field=f"params.{name}")
    if new and given.count() + len(new) > MOST_PARAMS:
        raise FieldError("params", _("At most %(most)s parameters.") % {"most": MOST_PARAMS})
    RunParam.objects.bulk_create(
        RunParam(run_id=logged.pk, name=name, number=_number(text), text=_shortened(text))
        for name, text in new.items()
    )
    _keep_long(logged, "params", new)


def _set_tags(actor: Actor, logged: LoggedRun, job: Job, tags: Mapping[str, str | None]) -> None:
    short = {name: text if text is None else _shortened(text) for name, text in tags.items()}
    tags_change(actor=actor, thing=job, tags=short)
    _keep_long(logged, "tags", tags)


def _keep_long(logged: LoggedRun, kind: str, texts: Mapping[str, str | None]) -> None:
    """Whole texts of those that are shortened where they are searched."""
    old: dict[str, str] = logged.long_texts.get(kind, {})
    new = {name: text for name, text in old.items() if name not in texts}
    new |= {name: text for name, text in texts.items() if text and len(text) > LONGEST_TEXT}
    if new != old:
        logged.long_texts = logged.long_texts | {kind: new}
        logged.save(update_fields=["long_texts"])


def _add_points(actor: Actor, logged: LoggedRun, job: Job, points: Sequence[Point]) -> None:
    """Of each step the newest finite value is what the run shows; all others stand beside it."""
    if job.state not in HELD:
        said = _("This run has ended: %(state)s. Take it up again first: start_run(run_id=…) does.")
        raise WrongState(said % {"state": state_word(job, job.state)}, state=str(job.state))
    finite = [point for point in points if math.isfinite(point[2])]
    beside = [point for point in points if not math.isfinite(point[2])]
    names, steps = {point[0] for point in finite}, {point[1] for point in finite}
    there = MetricPoint.objects.filter(job=logged.pk, name__in=names, step__in=steps)
    shown: dict[tuple[str, int], Point] = {
        (name, step): (name, step, value, at)
        for name, step, value, at in there.values_list("name", "step", "value", "at")
    }
    for point in finite:
        known = shown.get(point[:2])
        if known is not None and known != point:
            older, point = sorted((known, point), key=_when)
            beside.append(older)
        shown[point[:2]] = point
    if finite:
        given = {point[:2] for point in finite}
        run_log_metrics(actor=actor, job=job, points=[shown[which] for which in given])
    SidePoint.objects.bulk_create(
        [
            SidePoint(
                run_id=logged.pk,
                name=name,
                step=step,
                at=at,
                value=value,
                is_finite=math.isfinite(value),
            )
            for name, step, value, at in beside
        ],
        ignore_conflicts=True,
    )


def _when(point: Point) -> tuple[dt.datetime, float]:
    """Of two values of a step the later one counts, and of two of one moment the larger one."""
    return point[3], point[2]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _number(text: str) -> float | None:
    """The number that a text is, for searches and pictures."""
    value = float(text) if len(text) < 100 and _NUMBER.fullmatch(text) else None
    return value if value is not None and abs(value) < 1e300 else None
