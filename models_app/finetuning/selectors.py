"""Reads files and fine-tunings, filtered by what the actor may see."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError, NotFound
from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.states import TuningState
from models_app.jobs.models import Job
from models_app.jobs.states import JobState
from models_app.registry.models import ModelVersion
from models_app.registry.naming import LATEST, version_named
from models_app.registry.selectors import model_named


def file_list(*, actor: Actor, purpose: str = "") -> QuerySet[TuningFile]:
    """Files that were not deleted, newest first."""
    rows = TuningFile.objects.visible_to(actor).filter(deleted_at=None)
    rows = rows.select_related("version", "team")
    return rows.filter(purpose=purpose) if purpose else rows


def file_get(*, actor: Actor, key: str) -> TuningFile:
    """One file, or NotFound."""
    row: TuningFile = file_list(actor=actor).get_visible(actor, key=key)  # type: ignore[attr-defined]
    return row


def tuning_list(*, actor: Actor, metadata: Mapping[str, str] | None = None) -> QuerySet[Tuning]:
    """Fine-tunings, newest first; with `metadata` only those that carry all of it."""
    rows = Tuning.objects.visible_to(actor).select_related(
        "team", "base_version__model__team", "training_file", "validation_file",
        "model_version__model__team", "model_version__produced_by",
    )  # fmt: skip
    return rows.filter(metadata__contains=dict(metadata)) if metadata else rows


def tuning_get(*, actor: Actor, key: str) -> Tuning:
    """One fine-tuning, or NotFound."""
    row: Tuning = tuning_list(actor=actor).get_visible(actor, key=key)  # type: ignore[attr-defined]
    return row


def tuning_job(tuning: Tuning) -> Job | None:
    """The job of its training, once there is one."""
    return tuning.model_version.produced_by if tuning.model_version else None


def tuning_status(tuning: Tuning) -> str:
    """One of OpenAI's words for where it stands."""
    if tuning.state != TuningState.STARTED:
        return BEFORE[tuning.state]
    job = tuning_job(tuning)
    return STATUS[job.state] if job else "failed"


BEFORE: dict[str, str] = {
    TuningState.VALIDATING: "validating_files",
    TuningState.FAILED: "failed",
    TuningState.CANCELED: "cancelled",
}
#: State of a job -> OpenAI's word. A job on its way to a state is told to be there.
STATUS: dict[str, str] = {
    JobState.CREATED: "queued",
    JobState.AWAITING_APPROVAL: "queued",
    JobState.PENDING: "queued",
    JobState.SCHEDULED: "queued",
    JobState.RECOVERING: "queued",
    JobState.RUNNING: "running",
    JobState.PREEMPTING: "running",
    JobState.PAUSING: "paused",
    JobState.PAUSED: "paused",
    JobState.CANCELING: "cancelled",
    JobState.CANCELED: "cancelled",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "failed",
}


def base_named(*, actor: Actor, name: Any) -> ModelVersion:
    """The version that `team/model`, `team/model:v3` or `team/model:alias` means, or FieldError."""
    text = name if isinstance(name, str) else ""
    place, _colon, version = text.partition(":")
    team, slash, model = place.partition("/")
    if not slash:
        said = _("Name a model of yours: team/model, or team/model:v3, or team/model:alias.")
        raise FieldError("model", said)
    try:
        found = model_named(actor=actor, team=team, name=model)
        return version_named(model=found, name=version or LATEST)
    except NotFound:
        said = _("The model %(name)r does not exist, has no ready version, or is not yours.")
        raise FieldError("model", said % {"name": text[:200]}, code="model_not_found") from None
