"""Reads batches, filtered by what the actor may see; where each stands; what names mean."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from models_app.batches.models import Batch
from models_app.configs.specs import ServingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, NotFound
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.selectors import deployment_by_name
from models_app.jobs.states import JobState
from models_app.registry.models import ModelVersion
from models_app.registry.naming import LATEST, version_named
from models_app.registry.selectors import model_named

#: State of a job -> OpenAI's word for the batch.
STATUS: dict[str, str] = {
    JobState.CREATED: "validating",
    JobState.AWAITING_APPROVAL: "validating",
    JobState.PENDING: "validating",
    JobState.SCHEDULED: "validating",
    JobState.RECOVERING: "in_progress",
    JobState.RUNNING: "in_progress",
    JobState.PREEMPTING: "in_progress",
    JobState.PAUSING: "in_progress",
    JobState.PAUSED: "in_progress",
    JobState.CANCELING: "cancelling",
    JobState.CANCELED: "cancelled",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "expired",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a model's name means now."""

    version: ModelVersion
    deployment: Deployment | None = None
    revision: Revision | None = None


def batch_list(*, actor: Actor, team: str = "") -> QuerySet[Batch]:
    """Newest first."""
    rows = Batch.objects.visible_to(actor).select_related(
        "team", "created_by", "deployment__team", "revision", "model_version__model__team",
        "input_file", "dataset_version__dataset__team", "output_file", "error_file", "job",
        "answers_version__dataset__team",
    )  # fmt: skip
    return rows.filter(team__slug=team) if team else rows


def batch_get(*, actor: Actor, key: str) -> Batch:
    """One batch by its key, or NotFound."""
    row: Batch = batch_list(actor=actor).get_visible(actor, key=key)  # type: ignore[attr-defined]
    return row


def batch_status(batch: Batch) -> str:
    """One of OpenAI's words: `finalizing` while the answers of a stopped one are gathered."""
    if batch.job is None:
        return "failed"
    word = STATUS[batch.job.state]
    if word in ("cancelled", "expired") and batch.collected_at is None:
        return "cancelling" if word == "cancelled" else "finalizing"
    return word


def batch_counts(batch: Batch) -> dict[str, int]:
    """total, completed and failed requests so far."""
    if batch.collected_at is not None or batch.job is None:
        return {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
    newest = (
        batch.job.checkpoints.order_by("-step", "-epoch").values_list("step", "metrics").first()
    )
    done, metrics = newest or (0, {})
    failed = int(metrics.get("failed", 0))
    return {"total": batch.total, "completed": done - failed, "failed": failed}


def batch_settings(batch: Batch) -> ServingSpec:
    """Those of the revision that was asked; of a version by itself, the usual ones for it."""
    if batch.revision is not None:
        return batch.revision.serving
    version = batch.model_version
    other = version is not None and version.format == "openvino"
    return ServingSpec(backend="openvino" if other else "slipway")


def target_named(*, actor: Actor, name: Any) -> Target:
    """`team/deployment`, `team/deployment:adapter`, `team/model`, `team/model:v3`, or FieldError.

    Of a deployment it is the revision that serves now, which stays even if another takes over.
    """
    text = name if isinstance(name, str) else ""
    place, _colon, part = text.partition(":")
    team, slash, leaf = place.partition("/")
    said = _("The model %(name)r does not exist, has nothing to answer with, or is not yours.")
    missing = FieldError("model", said % {"name": text[:200]}, code="model_not_found")
    if not slash:
        raise missing
    try:
        found = _deployed(actor, team, leaf, part)
        if found is not None:
            return found
        model = model_named(actor=actor, team=team, name=leaf)
        return Target(version=version_named(model=model, name=part or LATEST))
    except NotFound:
        raise missing from None


def _deployed(actor: Actor, team: str, name: str, adapter: str) -> Target | None:
    try:
        deployment = deployment_by_name(actor=actor, team=team, name=name)
    except NotFound:
        return None
    revision = deployment.active_revision
    if revision is None:
        return None
    version = revision.model_version
    if adapter:
        served = revision.adapters.filter(name=adapter).select_related("model_version").first()
        if served is None:
            return None
        version = served.model_version
    return Target(version=version, deployment=deployment, revision=revision)
