"""Files, fine-tunings and checkpoints in the objects of OpenAI's API."""

from typing import Any

from models_app.datasets.states import VersionState as DataState
from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.selectors import tuning_job, tuning_status
from models_app.jobs.models import Checkpoint, Job
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState

FILE_STATUS: dict[str, str] = {DataState.READY: "processed", DataState.FAILED: "error"}
#: OpenAI's three; the rank of the adapter is told beside them.
OURS = ("n_epochs", "batch_size", "learning_rate_multiplier", "lora_rank")


def file_shape(row: TuningFile) -> dict[str, Any]:
    """`FileObject`."""
    version = row.version
    failed = version is not None and version.state == DataState.FAILED
    return {
        "id": row.key,
        "object": "file",
        "bytes": row.size,
        "created_at": int(row.created_at.timestamp()),
        "filename": row.name,
        "purpose": row.purpose,
        "status": FILE_STATUS.get(version.state, "uploaded") if version else "processed",
        "status_details": version.error if version and failed else None,
    }


def version_name(version: ModelVersion) -> str:
    """`team/model:v3`, which the gateway serves once a deployment runs it."""
    return f"{version.model.team.slug}/{version.model.name}:v{version.number}"


def tuning_shape(row: Tuning) -> dict[str, Any]:
    """`FineTuningJob`."""
    job, version = tuning_job(row), row.model_version
    ready = version is not None and version.state == VersionState.READY
    told = {**row.asked, **row.chosen}
    numbers = {name: told.get(name, "auto") for name in OURS}
    ended = (job.finished_at if job else None) or row.ended_at
    return {
        "id": row.key,
        "object": "fine_tuning.job",
        "created_at": int(row.created_at.timestamp()),
        "finished_at": int(ended.timestamp()) if ended else None,
        "estimated_finish": None,
        "model": version_name(row.base_version),
        "fine_tuned_model": version_name(version) if version is not None and ready else None,
        "organization_id": row.team.slug,
        "status": tuning_status(row),
        "error": _error(row, job),
        "training_file": row.training_file.key,
        "validation_file": row.validation_file.key if row.validation_file else None,
        "hyperparameters": {name: numbers[name] for name in OURS[:3]},
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "result_files": [],
        "trained_tokens": _tokens(row) if ready else None,
        "seed": row.seed,
        "integrations": [],
        "metadata": row.metadata or None,
    }


def _error(row: Tuning, job: Job | None) -> dict[str, Any] | None:
    if row.error:
        return dict(row.error)
    if tuning_status(row) != "failed" or job is None:
        return None
    return {"code": job.reason_code or "failed", "message": job.reason, "param": None}


def _tokens(row: Tuning) -> int | None:
    """Tokens of the training file times how often they were seen."""
    version = row.model_version
    tokens = version.metrics.get("train_tokens") if version else None
    return int(tokens * row.chosen.get("n_epochs", 1)) if tokens else None


def checkpoint_shape(row: Tuning, checkpoint: Checkpoint) -> dict[str, Any]:
    """`FineTuningJobCheckpoint`; a training goes on from it in the console."""
    version = row.model_version
    name = version_name(version) if version else row.key
    metrics = {
        "step": checkpoint.step,
        "train_loss": checkpoint.metrics.get("loss"),
        "valid_loss": checkpoint.metrics.get("validation_loss"),
    }
    return {
        "id": f"ftckpt-{checkpoint.pk}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(checkpoint.created_at.timestamp()),
        "fine_tuning_job_id": row.key,
        "fine_tuned_model_checkpoint": f"{name}:step-{checkpoint.step}",
        "step_number": checkpoint.step,
        "metrics": {name: value for name, value in metrics.items() if value is not None},
    }
