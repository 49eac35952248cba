"""Conversions: a version written in another format, kept only when it is close to its source."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import Conflict, FieldError
from models_app.core.permission import can_see, require
from models_app.core.states import advance, state_word
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import Shape
from models_app.datasets.states import VersionState as DatasetState
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.formats import Target, format_check, source_kind, target_get
from models_app.registry.models import Conversion, Model, ModelVersion
from models_app.registry.services.models import announce
from models_app.registry.services.training import version_complete, version_fail
from models_app.registry.states import ALLOWED, VersionState

#: What a gate may limit, and whether the limit is the most (else the least) that passes.
MEASURES = {
    "max_logit_error": True, "mean_divergence": True, "perplexity_increase": True,
    "top1_agreement": False, "greedy_agreement": False,
}  # fmt: skip


@transaction.atomic
def conversion_start(
    *,
    actor: Actor,
    version: ModelVersion,
    format: str,
    precision: str = "",
    dataset_version: DatasetVersion | None = None,
    gate: Mapping[str, float | None] | None = None,
    max_documents: int = 200,
    threads: int = 1,
    priority: int = 0,
    pool: str = "",
    resources: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Conversion:
    """Queue the conversion of `version`; its pending output is the next version of the model.

    Raises InvalidInput naming what cannot work, and Conflict naming the version where the same
    source was converted to the same format already. A merged adapter becomes a version of its
    base's model.
    """
    require(actor, "registry.convert_version", version)
    earlier = job_with_key(team=version.model.team, key=idempotency_key, kind="convert")
    if earlier is not None:
        return Conversion.objects.select_related("output__model", "source__model").get(job=earlier)
    target = target_get(format)
    chosen = target.precision(precision)
    home = _check_source(version, target)
    _check_data(actor, version, dataset_version)
    limits = _limits(chosen.gate, gate or {})
    if reason := target.unavailable():
        raise FieldError("format", reason)
    # The lock puts writers of one model into a line, so that numbers have no gap.
    Model.objects.select_for_update().get(pk=home.pk)
    _check_is_new(version, target, chosen.name)
    output = ModelVersion.objects.create(
        model=home,
        number=(home.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        format=target.produces,
        source_version=version,
    )
    conversion = Conversion.objects.create(
        source=version,
        source_digest=version.digest,
        output=output,
        format=target.name,
        precision=chosen.name,
        dataset_version=dataset_version,
        gate=limits,
    )
    job = job_submit(
        actor=actor,
        team=version.model.team,
        kind="convert",
        params={
            "conversion": conversion.pk, "model_version": output.pk, "source": version.pk,
            "dataset_version": dataset_version.pk if dataset_version else None,
            "format": target.name, "precision": chosen.name, "max_documents": max_documents,
            "threads": threads,
        },
        title=f"Convert {conversion}",
        priority=priority,
        pool=pool,
        resources=resources,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    conversion.job = output.produced_by = job
    conversion.save(update_fields=["job"])
    output.save(update_fields=["produced_by"])
    changes = {
        "source": version.pk, "source_digest": version.digest, "format": target.name,
        "precision": chosen.name, "gate": limits, "job": job.pk,
    }  # fmt: skip
    audit_record(
        actor=actor, action="model_version.conversion_started", obj=output, changes=changes
    )
    announce(home)
    return conversion


@transaction.atomic
def conversion_complete(*, conversion_id: int, job: Job, result: dict[str, Any]) -> Conversion:
    """The format is written and measured: its version gets ready, or is kept back by the gate."""
    conversion = _locked(conversion_id)
    conversion.report = result["report"]
    conversion.finished_at = Now()
    conversion.save(update_fields=["report", "finished_at"])
    conversion.refresh_from_db(fields=["finished_at"])
    if conversion.passed:
        version_complete(version_id=conversion.output_id, job=job, result=result)
        return conversion
    output = conversion.output
    advance(output, VersionState.FAILED, allowed=ALLOWED, error=_kept_back(conversion.report))
    changes = {"checks": conversion.report["checks"], "job": job.pk}
    audit_record(actor=SYSTEM, action="conversion.refused", obj=output, changes=changes)
    announce(output.model)
    return conversion


@transaction.atomic
def conversion_fail(*, conversion_id: int, job: Job) -> None:
    """The job has ended otherwise than well: the version says why."""
    conversion = _locked(conversion_id)
    conversion.finished_at = Now()
    conversion.save(update_fields=["finished_at"])
    version_fail(version_id=conversion.output_id, job=job)


def _locked(conversion_id: int) -> Conversion:
    rows = Conversion.objects.select_for_update(of=("self",))
    return rows.select_related("output__model").get(pk=conversion_id)


def _check_source(version: ModelVersion, target: Target) -> Model:
    """Where the output belongs, or FieldError."""
    if version.state != VersionState.READY:
        words = {"version": version, "state": state_word(version, version.state)}
        raise FieldError("version", _("%(version)s is not ready: %(state)s.") % words)
    kind = source_kind(version)
    if kind != target.takes:
        said = {
            "adapter": _(
                "%(version)s is an adapter. Merge it into its base first, then convert the result."
            ),
            "ngram": _("%(version)s is an n-gram model, which can only be written as ARPA text."),
            "transformer": _("%(version)s is no adapter, so there is nothing to merge.")
            if target.takes_adapter
            else _("%(version)s is no n-gram model."),
        }[kind]
        raise FieldError("format", said % {"version": version})
    if not target.takes_adapter:
        format_check(version, "convert", "version")
        return version.model
    base = version.base_version
    if base is None or base.state != VersionState.READY or base.team_id != version.team_id:
        said = _("The base of %(version)s is not a ready version of the same team. Import it.")
        raise FieldError("version", said % {"version": version})
    format_check(base, "convert", "version")
    return base.model


def _check_data(actor: Actor, version: ModelVersion, data: DatasetVersion | None) -> None:
    if data is None:
        return
    if not can_see(actor, data) or data.team_id != version.team_id:
        raise FieldError("dataset_version", _("Choose a dataset version of the same team."))
    if data.state != DatasetState.READY:
        words = {"version": data, "state": state_word(data, data.state)}
        raise FieldError("dataset_version", _("%(version)s is not ready: %(state)s.") % words)
    if data.shape != Shape.DOCUMENTS:
        said = _("%(version)s holds questions. Choose one that holds documents.")
        raise FieldError("dataset_version", said % {"version": data})
    if not data.counts.get("validation", {}).get("documents"):
        said = _("%(version)s holds out nothing for validation. Leave it empty, or choose another.")
        raise FieldError("dataset_version", said % {"version": data})


def _limits(
    defaults: Mapping[str, float | None], given: Mapping[str, float | None]
) -> dict[str, Any]:
    limits = {
        name: {"limit": given.get(name, defaults.get(name)), "default": defaults.get(name)}
        for name in MEASURES
    }
    return {name: row for name, row in limits.items() if row != {"limit": None, "default": None}}


def _check_is_new(version: ModelVersion, target: Target, precision: str) -> None:
    same = Conversion.objects.filter(
        source_digest=version.digest,
        source__model__team=version.model.team,
        format=target.name,
        precision=precision,
    ).exclude(output__state=VersionState.FAILED)
    row = same.select_related("output__model").first()
    if row is not None:
        said = _("%(output)s is this conversion already. Use it, or choose another format.")
        raise Conflict(
            said % {"output": row.output},
            field="format", conversion=row.pk, model_version=row.output_id,
        )  # fmt: skip


def _kept_back(report: Mapping[str, Any]) -> str:
    """English, as others read it too."""
    words = [
        f"{check['measure']} is {_figure(check['value'])}, the limit is {_figure(check['limit'])}"
        for check in report["checks"]
        if not check["passed"]
    ]
    return f"The parity gate kept it back: {'; '.join(words)}."


def _figure(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.4g}"
