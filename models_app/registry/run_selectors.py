"""Reads training runs with everything that lists and comparisons show, in a few queries."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.jobs.models import Job, MetricLatest
from models_app.jobs.selectors import job_alone
from models_app.registry.models import ModelVersion, RunParam, Tag, TrainingRun
from models_app.registry.runs import RUN_KINDS


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run with what it was given and what came out."""

    run: TrainingRun
    version: ModelVersion | None = None
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def pk(self) -> int:
        return int(self.run.pk)


ROWS = TrainingRun.objects.select_related(
    "team", "job", "created_by", "model__team", "dataset_version__dataset__team"
)


def run_get(*, actor: Actor, run_id: int) -> TrainingRun:
    """One run, or NotFound."""
    return ROWS.get_visible(actor, pk=run_id)


def run_job(*, actor: Actor, run_id: int) -> Job:
    """The job of a run, as much of it as a report needs, or NotFound."""
    job = job_alone(actor=actor, job_id=run_id)
    if job.kind not in RUN_KINDS:
        raise NotFound
    return job


def runs_visible(*, actor: Actor, run_ids: Sequence[int]) -> list[TrainingRun]:
    """These of them that the actor may see, in the order given."""
    rows: Any = ROWS
    found = {row.pk: row for row in rows.visible_to(actor).filter(pk__in=run_ids)}
    return [found[pk] for pk in dict.fromkeys(run_ids) if pk in found]


def runs_load(run_ids: Sequence[int]) -> list[RunView]:
    """Runs that a search has found, in its order: five queries, however many there are."""
    return run_views(_in_order(run_ids))


def run_views(runs: Sequence[TrainingRun]) -> list[RunView]:
    """Runs with their parameters, newest metrics, tags and versions."""
    keys = [run.pk for run in runs]
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    metrics: dict[int, dict[str, float]] = defaultdict(dict)
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    rows = RunParam.objects.filter(run__in=keys).order_by("run", "name")
    for key, name, number, text in rows.values_list("run_id", "name", "number", "text"):
        params[key][name] = text if number is None else as_number(number)
    latest = MetricLatest.objects.filter(job__in=keys).order_by("job", "name")
    for key, name, value in latest.values_list("job_id", "name", "value"):
        metrics[key][name] = value
    tagged = Tag.objects.filter(job__in=keys).order_by("name")
    for row in tagged.only("job", "name", "value"):
        tags[row.job_id or 0][row.name] = row.value
    versions = {
        row.produced_by_id: row
        for row in ModelVersion.objects.filter(produced_by__in=keys).only(
            "id", "number", "state", "stage", "produced_by", "model"
        )
    }
    return [
        RunView(
            run=run,
            version=versions.get(run.pk),
            params=params[run.pk],
            metrics=metrics[run.pk],
            tags=tags[run.pk],
        )
        for run in runs
    ]


def run_values(run_ids: Sequence[int], key: str) -> dict[int, float]:
    """The number that each of these runs has under `metrics.loss` or `params.steps`."""
    group, _dot, name = key.partition(".")
    if group == "metrics":
        rows = MetricLatest.objects.filter(job__in=run_ids, name=name)
        return dict(rows.values_list("job_id", "value"))
    params = RunParam.objects.filter(run__in=run_ids, name=name, number__isnull=False)
    return {
        key: value for key, value in params.values_list("run_id", "number") if value is not None
    }


def as_number(value: float) -> int | float:
    """3.0 was given as 3."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _in_order(run_ids: Sequence[int]) -> list[TrainingRun]:
    found = ROWS.in_bulk(run_ids)
    return [found[pk] for pk in run_ids if pk in found]
