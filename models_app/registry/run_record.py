"""What a run elsewhere has logged, kept as files beside the version that it produced."""

from typing import Any

from models_app.core.blobs import Manifest
from models_app.core.digests import canonical_json
from models_app.jobs.metrics import metric_latest
from models_app.registry.models import ModelVersion, RunParam, TrainingRun
from models_app.registry.recording import METRICS, RUN, keep, metric_lines
from models_app.registry.run_selectors import as_number
from models_app.registry.runs import EXTERNAL


def run_facts(run: TrainingRun) -> dict[str, Any]:
    """Parameters, newest figures, tags and data of a run, as plain JSON."""
    data = run.dataset_version
    rows = RunParam.objects.filter(run=run).order_by("name")
    return {
        "run": run.pk,
        "name": run.name,
        "state": run.job.state,
        "created_at": run.created_at.isoformat(),
        "params": {
            row.name: row.text if row.number is None else as_number(row.number) for row in rows
        },
        "metrics": {name: value for name, (_step, value) in metric_latest(job=run.job).items()},
        "tags": {tag.name: tag.value for tag in run.job.tags.order_by("name")},
        "dataset": {"version": str(data), "id": data.pk, "digest": data.digest} if data else None,
    }


def run_of(version: ModelVersion) -> TrainingRun | None:
    """The run elsewhere that produced a version, whose files are brought in from outside."""
    if version.produced_by is None or version.produced_by.kind != EXTERNAL:
        return None
    rows = TrainingRun.objects.select_related("job", "dataset_version__dataset")
    return rows.filter(pk=version.produced_by_id).first()


def run_recorded(version: ModelVersion) -> dict[str, Any]:
    """`{metrics, record}` of a version that is about to be filled: what its run has said so far.

    Without a run elsewhere both are empty. The files are in the store before the version is ready.
    """
    run = run_of(version)
    if run is None:
        return {"metrics": {}, "record": {}}
    facts = run_facts(run)
    record: Manifest = {
        RUN: keep([canonical_json(facts).encode()]),
        METRICS: keep(metric_lines(run.job)),
    }
    return {"metrics": facts["metrics"], "record": record}
