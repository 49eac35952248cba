"""Models and versions as MLflow writes them (`mlflow/protos/model_registry.proto`)."""

from typing import Any

from django.conf import settings
from django.urls import reverse

from console.mlflow.names import shown_model
from console.mlflow.shapes import ARTIFACTS, in_ms
from models_app.registry.models import LoggedRun, Model, ModelVersion
from models_app.registry.services.filling import filling_job
from models_app.registry.states import VersionState

#: Below `mlflow-artifacts:/`, where the files of versions are.
VERSIONS = "versions"
STATUSES = {
    VersionState.PENDING: "PENDING_REGISTRATION", VersionState.READY: "READY",
    VersionState.FAILED: "FAILED_REGISTRATION", VersionState.QUARANTINED: "FAILED_REGISTRATION",
}  # fmt: skip


def model_json(actor: Any, model: Model) -> dict[str, Any]:
    """A registered model."""
    made = in_ms(model.created_at)
    aliases = model.aliases.select_related("version").order_by("name")
    return {
        "name": shown_model(actor, model),
        "creation_timestamp": made,
        "last_updated_timestamp": made,
        "description": model.description,
        "aliases": [{"alias": a.name, "version": str(a.version.number)} for a in aliases],
        "tags": [{"key": tag.name, "value": tag.value} for tag in model.tags.order_by("name")],
    }


def version_json(actor: Any, version: ModelVersion) -> dict[str, Any]:
    """A version. What was imported for a run and not taken has failed, as far as MLflow goes."""
    model = version.model
    status, why = STATUSES[VersionState(version.state)], version.error
    brought = version.filled_by
    if version.waits_for_files and brought is not None and filling_job(version) is None:
        status, why = "FAILED_REGISTRATION", brought.reason
    run = LoggedRun.objects.filter(pk=version.produced_by_id).first()
    made = in_ms(version.created_at)
    href = reverse("model_version", args=[model.team.slug, model.name, version.number])
    return {
        "name": shown_model(actor, model),
        "version": str(version.number),
        "creation_timestamp": made,
        "last_updated_timestamp": in_ms(version.ready_at) if version.ready_at else made,
        "current_stage": "None" if version.stage == "none" else version.stage.capitalize(),
        "description": version.notes,
        "source": version_uri(version),
        "run_id": run.key if run else "",
        "run_link": f"{settings.PUBLIC_URL}{href}",
        "status": status,
        "status_message": why,
        "aliases": list(version.aliases.order_by("name").values_list("name", flat=True)),
        "tags": [{"key": tag.name, "value": tag.value} for tag in version.tags.order_by("name")],
    }


def version_uri(version: ModelVersion) -> str:
    """Where clients list and fetch its files."""
    return f"{ARTIFACTS}{VERSIONS}/{version.model_id}/{version.number}"
