"""Experiments and runs as MLflow writes them (`mlflow/protos/service.proto`)."""

import datetime as dt
import math
from typing import Any

from console.mlflow.groups import shown_name
from models_app.jobs.states import JobState
from models_app.registry.experiment_selectors import LoggedView, Point
from models_app.registry.models import Experiment, LoggedRun

#: How a run is called that its program may have ended so.
ENDS = {
    "FINISHED": JobState.SUCCEEDED, "FAILED": JobState.FAILED, "KILLED": JobState.CANCELED,
}  # fmt: skip
#: What programs are told of states of ours; any other has not begun.
STATUSES = {
    **{str(state): status for status, state in ENDS.items()},
    str(JobState.TIMED_OUT): "FAILED", str(JobState.RUNNING): "RUNNING",
    str(JobState.PAUSING): "RUNNING", str(JobState.PREEMPTING): "RUNNING",
    str(JobState.CANCELING): "RUNNING",
}  # fmt: skip
NAME_TAG = "mlflow.runName"
ARTIFACTS = "mlflow-artifacts:/"


def experiment_json(actor: Any, experiment: Experiment) -> dict[str, Any]:
    """An experiment."""
    made = in_ms(experiment.created_at)
    return {
        "experiment_id": str(experiment.pk),
        "name": shown_name(actor, experiment),
        "artifact_location": f"{ARTIFACTS}{experiment.pk}",
        "lifecycle_stage": "active",
        "creation_time": made,
        "last_update_time": made,
        "tags": _pairs(experiment.tags),
    }


def info_json(logged: LoggedRun) -> dict[str, Any]:
    """What a run is, without what was logged."""
    run, job = logged.run, logged.run.job
    ended = logged.ended_ms
    if ended is None and job.finished_at is not None:
        ended = in_ms(job.finished_at)
    return {
        "run_id": logged.key,
        "run_uuid": logged.key,
        "run_name": run.name,
        "experiment_id": str(logged.experiment_id),
        "user_id": run.created_by.email if run.created_by else "",
        "status": STATUSES.get(job.state, "SCHEDULED"),
        "start_time": logged.started_ms,
        **({"end_time": ended} if ended is not None else {}),
        "artifact_uri": f"{ARTIFACTS}{logged.experiment_id}/{logged.key}/artifacts",
        "lifecycle_stage": "active",
    }


def run_json(view: LoggedView) -> dict[str, Any]:
    """A run with the newest of what was logged."""
    logged = view.logged
    tags = {**view.tags, NAME_TAG: logged.run.name}
    return {
        "info": info_json(logged),
        "data": {
            "metrics": [point_json(point) for point in view.metrics.values()],
            "params": _pairs(view.params),
            "tags": _pairs(tags),
        },
        "inputs": {"dataset_inputs": logged.inputs, "model_inputs": []},
        "outputs": {
            "model_outputs": [
                {"model_id": model["id"], "step": model["step"]} for model in logged.logged_models
            ]
        },
    }


def point_json(point: Point) -> dict[str, Any]:
    """One value of a metric."""
    name, step, value, at = point
    return {"key": name, "value": _value(value), "timestamp": in_ms(at), "step": step}


def _value(value: float) -> float | str:
    """Values that JSON has no word for, in the words of protobuf's JSON."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _pairs(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]


def in_ms(at: dt.datetime) -> int:
    """Milliseconds since 1970."""
    return round(at.timestamp() * 1000)
