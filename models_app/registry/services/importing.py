"""Imports: a pending version and the job that brings its files, made together or not at all."""

import base64
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import Conflict, FieldError
from models_app.core.names import clean_text
from models_app.core.permission import can_see, require
from models_app.core.sealing import seal
from models_app.core.states import state_word
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.bundles.manifest import manifest_read
from models_app.registry.families import trained_format
from models_app.registry.importing import HubSource, Source, check_source
from models_app.registry.models import ImportToken, Model, ModelVersion
from models_app.registry.services.bundles import bundle_base, origin_record
from models_app.registry.services.filling import version_awaited
from models_app.registry.services.models import announce, model_create, quarantined_refuse
from models_app.registry.services.scans import scan_record
from models_app.registry.services.training import version_complete, version_fail
from models_app.registry.states import Family, VersionState
from models_app.registry.use import version_whole

#: What the token of a hub is sealed for.
SEAL = "import-token"
_WHOLE = (VersionState.READY, VersionState.QUARANTINED)


@transaction.atomic
def version_import(
    *,
    actor: Actor,
    model: Model,
    source: Source,
    version: ModelVersion | None = None,
    base_version: ModelVersion | None = None,
    notes: str = "",
    idempotency_key: str | None = None,
) -> ModelVersion:
    """Start an import into `model`; returns the pending version: a new one, or `version`, which was
    registered for a run elsewhere and waits for its files.

    Every file passes the scan before the version comes to be; nothing turns that off. An adapter
    needs the `base_version` that it was trained on. Raises InvalidInput naming the field. The same
    `idempotency_key` in the same team returns the version that exists. Of a `version` that takes no
    files: WrongState, or Conflict where another import brings them already.
    """
    require(actor, "registry.add_version", model)
    earlier = _earlier(model.team_id, idempotency_key)
    if earlier is not None:
        return earlier
    _check_base(actor, model, base_version, bundle=check_source(source))
    # The lock puts writers of one model into a line, so that numbers have no gap.
    Model.objects.select_for_update().get(pk=model.pk)
    if version is None:
        row = ModelVersion(
            model=model, number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1
        )
    else:
        row = version_awaited(model=model, version_id=version.pk)
    row.base_version, row.source = base_version, source.plain()
    row.notes = clean_text(notes, "notes") or row.notes
    row.save()
    if isinstance(source, HubSource) and source.token.get_secret_value():
        token = source.token.get_secret_value()
        ImportToken.objects.create(version=row, sealed=seal(token, SEAL))
    job = job_submit(
        actor=actor,
        team=model.team,
        kind="model_import",
        params={"model_version": row.pk},
        title=f"Import {model.name} v{row.number}",
        idempotency_key=idempotency_key,
    )
    if version is None:
        row.produced_by = job
    else:
        row.filled_by = job
    row.save(update_fields=["produced_by", "filled_by"])
    changes = {"number": row.number, "job": job.pk, "source": _for_audit(row.source)}
    audit_record(actor=actor, action="model_version.import_started", obj=row, changes=changes)
    announce(model)
    return row


@transaction.atomic
def model_create_imported(
    *,
    actor: Actor,
    team: Any,
    name: str,
    source: Source,
    description: str = "",
    base_version: ModelVersion | None = None,
    notes: str = "",
    idempotency_key: str | None = None,
) -> ModelVersion:
    """A new model with its first version on the way: both or none."""
    require(actor, "registry.add_version", team)
    earlier = _earlier(team.pk, idempotency_key)
    if earlier is not None:
        return earlier
    model = model_create(actor=actor, team=team, name=name, description=description)
    return version_import(
        actor=actor, model=model, source=source, base_version=base_version, notes=notes,
        idempotency_key=idempotency_key,
    )  # fmt: skip


@transaction.atomic
def version_import_complete(*, version_id: int, job: Job, result: dict[str, Any]) -> ModelVersion:
    """The files are here and the scan let them pass: the version becomes visible as a whole.

    Raises Conflict where it does not belong into its model, its files are quarantined, it does not
    wait for this job any more, or the base that its bundle names cannot be had.
    """
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    model = Model.objects.select_for_update().get(pk=version.model_id)
    _check_open(version, job)
    _check_family(model, version, result["facts"]["family"])
    _take_bundle(version, job, result.get("bundle"))
    version = version_complete(version_id=version_id, job=job, result={"metrics": {}, **result})
    quarantined_refuse(version)
    same = _same_files(version)
    version.source = {
        **_without_upload(version.source),
        **result["origin"],
        "files": result["files"],
        "transferred_bytes": result["transferred_bytes"],
        "same_as": str(same) if same else None,
        "same_as_id": same.pk if same else None,
    }
    version.format = trained_format(result["facts"]["family"])
    version.save(update_fields=["source", "format"])
    scan_record(version_id=version.pk, job=job, report=result["report"])
    ImportToken.objects.filter(version=version).delete()
    return version


@transaction.atomic
def version_import_fail(*, version_id: int, job: Job) -> None:
    """The import has ended otherwise than well: the version says why, and keeps no file.

    One that was registered for a run elsewhere goes on waiting: the job says why.
    """
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    if version.filled_by_id not in (None, job.pk):
        return
    if version.filled_by_id is None:
        version_fail(version_id=version_id, job=job)
    else:
        announce(version.model)
    version.source = _without_upload(version.source)
    version.save(update_fields=["source"])
    ImportToken.objects.filter(version_id=version_id).delete()


def _earlier(team_id: int, key: str | None) -> ModelVersion | None:
    job = job_with_key(team=team_id, key=key, kind="model_import")
    if job is None:
        return None
    rows = ModelVersion.objects.select_related("model__team")
    return rows.get(pk=job.params["model_version"])


def _check_open(version: ModelVersion, job: Job) -> None:
    """What a job fills may have failed with its run, or be given up."""
    if version.state != VersionState.PENDING or job.pk not in (
        version.produced_by_id, version.filled_by_id,
    ):  # fmt: skip
        said = _("%(version)s is %(state)s by now, so the files that came are not kept.")
        words = {"version": version, "state": state_word(version, version.state)}
        raise Conflict(said % words)


def _take_bundle(version: ModelVersion, job: Job, bundle: dict[str, Any] | None) -> None:
    """What came in a bundle keeps its origin, and an adapter gets the base that it names."""
    if bundle is None:
        return
    manifest = manifest_read(bundle["manifest"].encode())
    chosen, named = version.base_version, manifest.base
    if chosen is not None and named is not None and chosen.digest == named.version.digest:
        base: ModelVersion | None = chosen
    else:
        base = bundle_base(version=version, job=job, manifest=manifest, brought=bundle["base"])
    if base is not None:
        version.base_version = base
        version.save(update_fields=["base_version"])
    origin_record(version=version, content=manifest, base=manifest.base)


def _check_base(
    actor: Actor, model: Model, base: ModelVersion | None, *, bundle: bool = False
) -> None:
    """An adapter needs its base, which a bundle names by itself."""
    if base is None:
        if model.family == Family.ADAPTER and not bundle:
            said = _("%(model)s holds adapters: choose the version that this one was trained on.")
            raise FieldError("base_version", said % {"model": model.name})
        return
    if not can_see(actor, base) or base.team_id != model.team_id:
        raise FieldError("base_version", _("Choose a model version of the same team."))
    if base.state != VersionState.READY:
        words = {"version": base, "state": state_word(base, base.state)}
        raise FieldError("base_version", _("%(version)s is not ready: %(state)s.") % words)
    version_whole(base, "base_version")


def _check_family(model: Model, version: ModelVersion, family: str) -> None:
    """The first version decides what family a model has."""
    if model.family == family:
        return
    if model.versions.filter(state__in=_WHOLE).exclude(pk=version.pk).exists():
        said = _("%(model)s holds versions of the family %(family)s; import this into a new model.")
        raise Conflict(said % {"model": model.name, "family": model.get_family_display()})
    model.family = family
    model.save(update_fields=["family"])


def _same_files(version: ModelVersion) -> ModelVersion | None:
    rows = version.model.versions.filter(digest=version.digest, state=VersionState.READY)
    return rows.exclude(pk=version.pk).select_related("model").order_by("number").first()


def _without_upload(source: dict[str, Any]) -> dict[str, Any]:
    """The archive is no longer needed, so its digest must not keep it in the store.

    It is still told, as `integrity`, in the form that the web uses (W3C Subresource Integrity). Nor
    are pushed files kept by a version that they did not become.
    """
    if source.get("kind") == "push":
        return {key: value for key, value in source.items() if key != "manifest"}
    if source.get("kind") != "upload" or "upload" in source:
        return source
    file = source["files"][0]
    digest = base64.b64encode(bytes.fromhex(file["sha256"])).decode()
    kept = {"name": file["name"], "size": file["size"], "integrity": f"sha256-{digest}"}
    return {**{k: v for k, v in source.items() if k != "files"}, "upload": kept}


def _for_audit(source: dict[str, Any]) -> dict[str, Any]:
    """Words of a source that the audit log keeps for ever: no digest of an archive."""
    files = [{"name": f["name"], "size": f["size"]} for f in source.get("files", [])]
    rest = {key: value for key, value in source.items() if key not in ("files", "manifest")}
    return {**rest, "files": files} if files else rest
