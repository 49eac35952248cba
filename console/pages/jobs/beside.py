"""Earlier runs of the same model, to be drawn into the chart of a run."""

from dataclasses import dataclass
from typing import Any

from models_app.jobs.models import Job
from models_app.registry.models import TrainingRun

#: How many are offered, and how many a chart takes beside its own lines.
OFFERED, MOST = 20, 3


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A run that can be drawn beside another one."""

    pk: int
    label: str
    chosen: bool


def runs_beside(job: Job, asked: list[str]) -> list[Beside]:
    """Runs of the model whose version this job makes, newest first; none for other jobs."""
    run = TrainingRun.objects.filter(pk=job.pk).only("model_id", "team_id").first()
    if run is None or run.model_id is None:
        return []
    others = TrainingRun.objects.filter(model_id=run.model_id, team_id=run.team_id)
    rows: Any = others.exclude(pk=job.pk).order_by("-pk").values_list("pk", "name")
    found = list(rows[:OFFERED])
    wanted = [pk for pk, _name in found if str(pk) in asked][:MOST]
    return [Beside(pk=pk, label=f"{name} #{pk}", chosen=pk in wanted) for pk, name in found]
