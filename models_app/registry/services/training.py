"""A training: configuration revision, pending version and job, made together or not at all."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.configs.models import ConfigRevision
from models_app.configs.services import config_revise, revision_spec
from models_app.configs.specs import Spec, TrainingSpec
from models_app.core.actor import SYSTEM, Actor
from models_app.core.digests import tree_digest
from models_app.core.errors import FieldError, WrongState
from models_app.core.permission import can_see, require
from models_app.core.states import advance
from models_app.datasets.models import DatasetVersion
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.metrics import metrics_conclude
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.services import job_submit
from models_app.registry.adapters import family_check
from models_app.registry.code_version import code_version
from models_app.registry.endings import training_ended
from models_app.registry.families import is_markov, spec_kind, trained_format
from models_app.registry.further import Beginning, beginning_of
from models_app.registry.models import Draft, Model, ModelVersion, VersionRecord
from models_app.registry.recording import LOG
from models_app.registry.services.models import announce
from models_app.registry.services.planning import spec_of_family, training_plan
from models_app.registry.services.runs import run_note
from models_app.registry.states import ALLOWED, Family, VersionState


@transaction.atomic
def training_start(
    *,
    actor: Actor,
    team: Any,
    model: Model,
    dataset_version: DatasetVersion,
    spec: Spec | Mapping[str, Any],
    base_version: ModelVersion | None = None,
    reason: str = "",
    priority: int = 0,
    pool: str = "",
    resources: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
    rerun_of: Job | None = None,
    continued_from: Mapping[str, Any] | None = None,
    config_revision: ConfigRevision | None = None,
) -> ModelVersion:
    """Start a training of a new version of `model`; returns the pending version.

    The settings become a revision of the configuration that is named like the model, or stay what
    `config_revision` says if they are exactly that. A `base_version` that is an adapter is trained
    further on its own base.

    Raises InvalidInput naming every field that cannot work, before anything is stored. The same
    `idempotency_key` in the same team returns the version that exists. `continued_from` is the
    checkpoint of another run with which it begins; see training_continue.
    """
    require(actor, "registry.add_version", team)
    if model.team_id != team.pk:
        raise FieldError("model", _("Choose a model of the same team."))
    earlier = job_with_key(team=team, key=idempotency_key, kind="train")
    if earlier is not None:
        return ModelVersion.objects.select_related("model").get(produced_by=earlier)
    plan = training_plan(
        actor=actor, team=team, dataset_version=dataset_version, spec=spec,
        base_version=base_version, family=model.family,
    )  # fmt: skip
    begun = beginning_of(base_version)
    # The lock puts writers of one model into a line, so that numbers have no gap.
    model = Model.objects.select_for_update().select_related("team").get(pk=model.pk)
    family_check(model, _family_made(model, plan.spec))
    revision = _settings(actor, model, plan.spec, config_revision, reason)
    version = ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        dataset_version=dataset_version,
        config_revision=revision,
        base_version=begun.base,
        seed=getattr(plan.spec, "seed", None),
        format=trained_format(model.family),
    )
    if continued_from or begun.adapter:
        VersionRecord.objects.create(
            version=version, continued_from=dict(continued_from or {}), begun_with=begun.adapter
        )
    job = job_submit(
        actor=actor,
        team=team,
        kind="train",
        params=_params(version, begun, continued_from),
        title=f"Train {model.name} v{version.number}",
        priority=priority,
        pool=pool,
        resources=_resources(model, resources),
        idempotency_key=idempotency_key,
        rerun_of=rerun_of,
    )
    version.produced_by = job
    version.save(update_fields=["produced_by"])
    run_note(job=job, version=version, settings=revision.spec)
    changes = {"number": version.number, "job": job.pk, "config": revision.digest}
    audit_record(actor=actor, action="model_version.training_started", obj=version, changes=changes)
    announce(model)
    return version


@transaction.atomic
def training_rerun(
    *,
    actor: Actor,
    version: ModelVersion,
    changes: Mapping[str, Any] | None = None,
    dataset_version: DatasetVersion | None = None,
    reason: str = "",
) -> ModelVersion:
    """Train again with the same data and settings, or with some changed: a new version.

    Its job is a child of the one that made `version`.
    """
    require(actor, "registry.add_version", version)
    revision, data = version.config_revision, dataset_version or version.dataset_version
    if revision is None or data is None:
        said = _("%(version)s was not trained here, so it cannot be trained again.")
        raise WrongState(said % {"version": version})
    spec = {**revision_spec(revision).plain(), **(changes or {})}
    checked = spec_of_family(version.model.family, spec)
    earlier = version.produced_by
    return training_start(
        actor=actor,
        team=version.model.team,
        model=version.model,
        dataset_version=data,
        spec=checked,
        base_version=version.begun_with or version.base_version,
        config_revision=revision,
        reason=reason or f"Again as v{version.number}",
        pool=earlier.pool.name if earlier else "",
        resources={"node_selector": earlier.node_selector} if earlier else None,
        rerun_of=earlier,
    )


@transaction.atomic
def version_complete(*, version_id: int, job: Job, result: dict[str, Any]) -> ModelVersion:
    """The training has ended well: files, figures and provenance become visible together.

    Of a version that was filled the job is the import: what that ran in is not how it was trained.
    """
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    filled = version.filled_by_id is not None
    attempt = None if filled else JobAttempt.objects.filter(job=job, epoch=job.epoch).first()
    manifest, record = result["manifest"], result.get("record", {})
    advance(
        version,
        VersionState.READY,
        allowed=ALLOWED,
        manifest=manifest,
        digest=tree_digest(manifest),
        size_bytes=sum(entry["size"] for entry in manifest.values()),
        facts=result["facts"],
        metrics=result["metrics"],
        environment=attempt.environment if attempt else {},
        code_version="" if filled else code_version(),
        log_digest=record.get(LOG, {}).get("sha256", ""),
        ready_at=Now(),
    )
    VersionRecord.objects.update_or_create(version=version, defaults={"files": record})
    if filled:
        Draft.objects.filter(version=version).delete()
    else:
        metrics_conclude(job=job, values=version.metrics)
    changes = {"digest": version.digest, "job": job.pk}
    audit_record(actor=SYSTEM, action="model_version.ready", obj=version, changes=changes)
    training_ended(version)
    announce(version.model)
    return version


@transaction.atomic
def version_fail(*, version_id: int, job: Job) -> None:
    """The training has ended otherwise than well: the version says why."""
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    if version.state != VersionState.PENDING:
        return
    advance(version, VersionState.FAILED, allowed=ALLOWED, error=job.reason)
    Draft.objects.filter(version=version).delete()
    changes = {"job": job.pk, "reason": job.reason_code}
    audit_record(actor=SYSTEM, action="model_version.failed", obj=version, changes=changes)
    training_ended(version)
    announce(version.model)


def _params(
    version: ModelVersion, begun: Beginning, continued_from: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the job is told, by the numbers of rows."""
    return {
        "model_version": version.pk,
        "model": version.model_id,
        "dataset_version": version.dataset_version_id,
        "config_revision": version.config_revision_id,
        "base_version": version.base_version_id,
        **({"begun_with": begun.adapter.pk} if begun.adapter else {}),
        "continued_from": continued_from["checkpoint"] if continued_from else None,
    }


def _family_made(model: Model, spec: Spec) -> Family:
    """The family of what comes out of a training of these settings."""
    if isinstance(spec, TrainingSpec):
        return Family.ADAPTER if spec.lora_rank else Family.TRANSFORMER
    return Family(model.family)


def _resources(model: Model, asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """Counting needs no GPU, though trainings get one where there is any."""
    return {"gpus": 0, **(asked or {})} if is_markov(model.family) else asked


def _settings(
    actor: Actor, model: Model, spec: Spec, given: ConfigRevision | None, reason: str
) -> ConfigRevision:
    """The revision that was chosen, if it says exactly this; else a new one."""
    team = model.team
    kind = spec_kind(model.family)
    if given is not None and _is_exactly(actor, team, given, kind, spec):
        return given
    return config_revise(
        actor=actor, team=team, kind=kind, name=model.name, spec=spec, reason=reason
    )


def _is_exactly(actor: Actor, team: Any, revision: ConfigRevision, kind: str, spec: Spec) -> bool:
    mine = can_see(actor, revision) and revision.config.team_id == team.pk
    return mine and revision.config.kind == kind and revision.spec == spec.plain()
