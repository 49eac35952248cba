"""Evaluations: a version scored on a dataset version, each document for itself."""

from typing import Any

from django.db import transaction

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.permission import require
from models_app.datasets.models import DatasetVersion
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.models import Evaluation, ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.states import Task


@transaction.atomic
def evaluation_start(
    *,
    actor: Actor,
    version: ModelVersion,
    dataset_version: DatasetVersion,
    split: str = "validation",
    task: str = Task.PERPLEXITY,
    max_documents: int | None = None,
    threads: int = 1,
    idempotency_key: str | None = None,
    **asking: Any,
) -> Job:
    """Submit the scoring of `version`; the job kind checks that it can work (InvalidInput).

    `asking` is how a task asks: `delimiter`, `max_tokens`, `stop`.
    """
    require(actor, "registry.evaluate_version", version)
    return job_submit(
        actor=actor,
        team=version.model.team,
        kind="evaluate",
        params={
            "version": version.pk,
            "dataset_version": dataset_version.pk,
            "split": split,
            "task": task,
            "max_documents": max_documents,
            "threads": threads,
            **asking,
        },
        title=f"Evaluate {version} on {dataset_version}",
        idempotency_key=idempotency_key,
    )


@transaction.atomic
def evaluation_complete(
    *,
    job: Job,
    version_id: int,
    dataset_version_id: int,
    split: str,
    task: str,
    metrics: dict[str, Any],
    scores_sha256: str,
) -> Evaluation:
    """Keep the result of a finished scoring."""
    evaluation = Evaluation.objects.create(
        version_id=version_id,
        dataset_version_id=dataset_version_id,
        split=split,
        task=task,
        produced_by=job,
        metrics=metrics,
        scores_sha256=scores_sha256,
    )
    figure = "perplexity" if task == Task.PERPLEXITY else "accuracy"
    changes = {figure: metrics.get(figure), "job": job.pk}
    audit_record(actor=SYSTEM, action="evaluation.completed", obj=evaluation, changes=changes)
    announce(evaluation.version.model)
    return evaluation
