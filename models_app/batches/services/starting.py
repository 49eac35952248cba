"""A batch begins: its requests are looked at, its version is pinned, and a job is submitted."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.batches.models import Batch
from models_app.batches.repeats import Asked
from models_app.batches.rows import ENDPOINTS, MOST_BYTES, rows_read
from models_app.batches.selectors import Target, batch_settings, target_named
from models_app.core.actor import Actor
from models_app.core.blobs import blob_open
from models_app.core.clock import now
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_slug, one_of
from models_app.core.permission import require
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import VersionState as DataState
from models_app.deployments.services.backends import backend_check, nodes_without
from models_app.finetuning.models import TuningFile
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel, job_submit
from models_app.registry.adapters import adapter_check
from models_app.registry.formats import format_check
from models_app.registry.states import VersionState

PURPOSE = "batch"
MOST_METADATA = 16
WINDOW = dt.timedelta(hours=24)
#: What stands in a template for the text of a row.
TEXT = "{text}"


@transaction.atomic
def batch_start(
    *,
    actor: Actor,
    input_file: TuningFile,
    endpoint: str,
    metadata: Mapping[str, str] | None = None,
    pool: str = "",
    priority: int = 0,
    idempotency_key: str | None = None,
) -> Batch:
    """Answer every request of a file, in the background.

    A file that is not what it must be makes a batch that has failed and names its lines. The same
    `idempotency_key` in the same team returns the batch that exists, and is a Conflict where
    something else is asked. Raises FieldError for anything else.
    """
    require(actor, "jobs.submit_job", input_file.team)
    wanted = {
        "file": input_file.pk, "endpoint": endpoint, "metadata": dict(metadata or {}),
        "pool": pool, "priority": priority,
    }  # fmt: skip
    asked = Asked(input_file.team_id, idempotency_key, wanted)
    if (earlier := asked.earlier()) is not None:
        return earlier
    if input_file.purpose != PURPOSE:
        said = _("Send the file with the purpose %(purpose)s.") % {"purpose": PURPOSE}
        raise FieldError("input_file_id", said)
    _check_endpoint(endpoint)
    batch = Batch(
        team=input_file.team, created_by_id=actor.pk, endpoint=endpoint, input_file=input_file,
        metadata=_metadata(metadata or {}), expires_at=now() + WINDOW, **asked.marks(),
    )  # fmt: skip
    if input_file.size > MOST_BYTES:
        said = _("At most %(most)s MiB. Split the file.") % {"most": MOST_BYTES >> 20}
        raise FieldError("input_file_id", said)
    with blob_open(input_file.sha256) as lines:
        rows = rows_read(lines, endpoint)
    batch.total, batch.model = rows.total, rows.model[:200]
    if rows.problems:
        return _refused(actor, batch, rows.problems)
    return _begin(actor, batch, target_named(actor=actor, name=rows.model), pool, priority)


@transaction.atomic
def batch_of_rows(
    *,
    actor: Actor,
    dataset_version: DatasetVersion,
    split: str,
    model: str,
    template: Mapping[str, Any],
    endpoint: str = "/v1/chat/completions",
    answers_dataset: str = "",
    pool: str = "",
    priority: int = 0,
    idempotency_key: str | None = None,
) -> Batch:
    """One request for each row of a split, made by `template` (a body with {text} in it).

    With `answers_dataset` the answers become that dataset's next version. `idempotency_key` as
    for batch_start. Raises FieldError.
    """
    team = dataset_version.dataset.team
    require(actor, "jobs.submit_job", team)
    wanted = {
        "rows": dataset_version.pk, "split": split, "model": model, "template": dict(template),
        "endpoint": endpoint, "answers": answers_dataset, "pool": pool, "priority": priority,
    }  # fmt: skip
    asked = Asked(team.pk, idempotency_key, wanted)
    if (earlier := asked.earlier()) is not None:
        return earlier
    _check_endpoint(endpoint)
    if dataset_version.state != DataState.READY:
        raise FieldError("dataset_version", _("Choose a dataset version that is ready."))
    total = (dataset_version.counts.get(split) or {}).get("documents", 0)
    if not total:
        said = _("The %(split)s split of %(data)s has no documents.")
        raise FieldError("split", said % {"split": split, "data": dataset_version})
    if answers_dataset:
        require(actor, "datasets.add_dataset", team)
        answers_dataset = clean_slug(answers_dataset, "answers_dataset")
    batch = Batch(
        team=team, created_by_id=actor.pk, endpoint=endpoint, dataset_version=dataset_version,
        split=split, template=_template(template, endpoint), answers_dataset=answers_dataset,
        total=total, model=model[:200], expires_at=now() + WINDOW, **asked.marks(),
    )  # fmt: skip
    return _begin(actor, batch, target_named(actor=actor, name=model), pool, priority)


@transaction.atomic
def batch_cancel(*, actor: Actor, batch: Batch) -> Batch:
    """Stop; what is answered by then is kept. Raises WrongState where it is over."""
    require(actor, "jobs.cancel_job", batch)
    if batch.job is None:
        raise WrongState(_("It never began: its file has errors."))
    try:
        job_cancel(actor=actor, job=batch.job)
    except WrongState:
        said = _("Batch %(batch)s is over: there is nothing to cancel.")
        raise WrongState(said % {"batch": batch.key}) from None
    audit_record(actor=actor, action="batch.canceled", obj=batch)
    return Batch.objects.select_related("job").get(pk=batch.pk)


def _begin(actor: Actor, batch: Batch, target: Target, pool: str, priority: int) -> Batch:
    version = target.version
    _check_target(actor, batch, target)
    batch.model_version, batch.deployment = version, target.deployment
    batch.revision = target.revision
    backend = batch_settings(batch).backend
    _check_engine(batch)
    batch.save(force_insert=True)
    batch.job = job_submit(
        actor=actor, team=batch.team, kind="batch_infer", params={"batch": batch.pk},
        title=f"Answer {batch.total} requests with {version}", pool=pool, priority=priority,
        timeout_s=int(WINDOW.total_seconds()),
    )  # fmt: skip
    batch.save(update_fields=["job"])
    if lacking := nodes_without(backend):
        # Before the commit that lets the job be placed.
        Job.objects.filter(pk=batch.job.pk).update(excluded_nodes=lacking)
    changes = {"model": batch.model, "version": str(version), "requests": batch.total}
    audit_record(actor=actor, action="batch.started", obj=batch, changes=changes)
    return batch


def _check_engine(batch: Batch) -> None:
    """FieldError where no node has what computes the answers."""
    assert batch.model_version is not None
    try:
        backend_check(batch.model_version, batch_settings(batch))
    except FieldError as error:
        raise FieldError("model", error.message) from None


def _check_target(actor: Actor, batch: Batch, target: Target) -> None:
    version = target.version
    if target.deployment is not None:
        require(actor, "deployments.infer_deployment", target.deployment)
        if target.deployment.stopped_at is not None:
            said = _("%(name)s is stopped. Start it first.") % {"name": batch.model}
            raise FieldError("model", said)
    else:
        require(actor, "registry.evaluate_version", version)
    if version.model.team_id != batch.team_id:
        raise FieldError("model", _("Choose a model of the team that owns the requests."))
    if version.state != VersionState.READY:
        words = {"version": version, "state": version.get_state_display()}
        raise FieldError("model", _("%(version)s is %(state)s.") % words)
    format_check(version, "serve", "model")
    adapter_check(version, "serve", "model")


def _refused(actor: Actor, batch: Batch, problems: list[dict[str, Any]]) -> Batch:
    batch.errors, batch.collected_at = problems, now()
    batch.save(force_insert=True)
    audit_record(actor=actor, action="batch.refused", obj=batch, changes={"errors": len(problems)})
    return batch


def _check_endpoint(endpoint: str) -> None:
    if endpoint not in ENDPOINTS:
        raise FieldError("endpoint", one_of(ENDPOINTS))


def _template(given: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """A body that asks about {text}; whether its other fields are right, each answer tells."""
    body = dict(given)
    for name in ("model", "stream"):
        if name in body:
            said = _("Leave %(name)s out; the batch says it.") % {"name": name}
            raise FieldError(f"template.{name}", said)
    wanted = {"/v1/chat/completions": "messages", "/v1/completions": "prompt"}
    name = wanted.get(endpoint, "input")
    if name not in body:
        said = _("Give “%(name)s”, with %(text)s where the text of the row belongs.")
        raise FieldError(f"template.{name}", said % {"name": name, "text": TEXT})
    if TEXT not in str(body[name]):
        said = _("Write %(text)s where the text of the row belongs.") % {"text": TEXT}
        raise FieldError(f"template.{name}", said)
    return body


def _metadata(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MOST_METADATA:
        raise FieldError("metadata", _("At most %(n)s pairs.") % {"n": MOST_METADATA})
    for key, value in given.items():
        if len(key) > 64 or len(str(value)) > 512:
            raise FieldError("metadata", _("Keys may have 64 characters, values 512."))
    return {key: str(value) for key, value in given.items()}
