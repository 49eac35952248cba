"""Bundles: a version goes out with its record, and comes in with its origin."""

from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import blob_size
from models_app.core.errors import Conflict, NotFound, PermissionDenied, WrongState
from models_app.core.permission import require
from models_app.core.states import state_word
from models_app.jobs.models import Job
from models_app.registry.bundles.manifest import Base, BundleRefused, Content, Manifest
from models_app.registry.bundles.packing import Bundle, bundle_of
from models_app.registry.families import trained_format
from models_app.registry.models import Model, ModelVersion, VersionOrigin
from models_app.registry.services.cards import card_carry
from models_app.registry.services.models import model_create, quarantined_refuse
from models_app.registry.services.scans import scan_record
from models_app.registry.services.training import version_complete
from models_app.registry.states import Family, VersionState

#: The formats that imports take: those that trainings make.
TAKEN = {trained_format(family) for family in Family.values}


def is_bundled(version: ModelVersion) -> bool:
    """Whether the version goes out as a bundle."""
    return version.state == VersionState.READY and version.format in TAKEN


def version_bundle(*, actor: Actor, version: ModelVersion, with_base: bool = True) -> Bundle:
    """The version as a bundle, not read yet: `version_exported` records that it goes out.

    Raises WrongState for what could not be imported again, BlobMissing where a file is gone.
    """
    require(actor, "registry.view_model", version)
    if version.state != VersionState.READY:
        words = {"version": version, "state": state_word(version, version.state)}
        raise WrongState(_("%(version)s is not ready: %(state)s.") % words)
    if version.format not in TAKEN:
        said = _(
            "%(version)s is in the format %(format)s, which is not imported. Export the version"
            " that it was converted from, and convert it again where it goes."
        )
        raise WrongState(said % {"version": version, "format": version.format})
    _check_stored(version, with_base=with_base)
    try:
        return bundle_of(version, with_base=with_base)
    except BundleRefused as error:
        said = _("%(version)s cannot be put into a bundle: %(why)s")
        raise WrongState(said % {"version": version, "why": error.what}) from None


@transaction.atomic
def version_exported(*, actor: Actor, version: ModelVersion, bundle: Bundle) -> None:
    """Somebody downloads the bundle from its beginning."""
    require(actor, "registry.view_model", version)
    changes = {"digest": version.digest, "size": bundle.packed.size}
    audit_record(actor=actor, action="model_version.exported", obj=version, changes=changes)


def base_stored(*, team_id: int, digest: str) -> ModelVersion | None:
    """The team's version with these files on which an adapter can stand."""
    rows = ModelVersion.objects.filter(
        model__team_id=team_id, digest=digest, state=VersionState.READY
    ).exclude(model__family=Family.ADAPTER)
    return rows.select_related("model__team").order_by("pk").first()


@transaction.atomic
def bundle_base(
    *, version: ModelVersion, job: Job, manifest: Manifest, brought: dict[str, Any] | None
) -> ModelVersion | None:
    """The base of an adapter that came in a bundle: the team's own, or a new one with `brought`.

    Raises Conflict where there is neither, or it may not come to be.
    """
    base = manifest.base
    if base is None:
        return None
    found = base_stored(team_id=version.team_id, digest=base.version.digest)
    if found is not None:
        return found
    if brought is None:
        said = _(
            "The base %(base)s with the tree digest %(digest)s is no longer ready in this team."
            " Import it first, or export the adapter together with its base."
        )
        raise Conflict(said % {"base": _called(base), "digest": base.version.digest})
    actor: Any = job.created_by
    model = _base_model(version, actor, base)
    # Whoever was faster has brought it meanwhile.
    found = base_stored(team_id=version.team_id, digest=base.version.digest)
    return found or _base_new(version, job, model, base, brought)


@transaction.atomic
def origin_record(*, version: ModelVersion, content: Content, base: Base | None) -> VersionOrigin:
    """Keep what the bundle says of the version; words of a card go to a model without any."""
    hop = {"model": content.origin.model, "number": content.origin.number}
    hops = [row.model_dump(mode="json") for row in content.origin.earlier]
    origin, _made = VersionOrigin.objects.update_or_create(
        version=version,
        defaults={
            **hop,
            "hops": [*hops, {**hop, "evaluations": content.origin.evaluations}],
            "record": content.record,
            "evaluations": content.evaluations,
            "card": content.card,
            "base": {**_named(base), "digest": base.version.digest} if base else None,
        },
    )
    if content.card is not None:
        card_carry(model=version.model, words=content.card)
    return origin


def _check_stored(version: ModelVersion, *, with_base: bool) -> None:
    """What is missing is said while one still can."""
    manifest = dict(version.manifest)
    if with_base and version.model.family == Family.ADAPTER and version.base_version is not None:
        if version.base_version.state != VersionState.READY:
            said = _("Its base %(base)s is not ready. Export the adapter without its base.")
            raise WrongState(said % {"base": version.base_version})
        manifest |= {f"base/{path}": e for path, e in version.base_version.manifest.items()}
    for entry in manifest.values():
        blob_size(entry["sha256"])


def _base_new(
    version: ModelVersion, job: Job, model: Model, base: Base, brought: dict[str, Any]
) -> ModelVersion:
    actor: Any = job.created_by
    digest = base.version.digest
    row = ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        source={
            "kind": version.source["kind"],
            "bundle": {**_named(base), "digest": digest, "with": str(version)},
            "files": brought["files"],
        },
    )
    changes = {"number": row.number, "job": job.pk, "adapter": str(version), "digest": digest}
    audit_record(actor=actor, action="model_version.base_imported", obj=row, changes=changes)
    result = {"manifest": brought["manifest"], "facts": brought["facts"], "metrics": {}}
    row = version_complete(version_id=row.pk, job=job, result=result)
    quarantined_refuse(row)
    scan_record(version_id=row.pk, job=job, report=brought["report"])
    origin_record(version=row, content=base, base=None)
    return row


def _base_model(version: ModelVersion, actor: Actor, base: Base) -> Model:
    """A model of the team that is called like the base's and holds whole models, or a new one.

    Nobody else adds versions to it until the transaction ends.
    """
    team, name = version.model.team, base.origin.model
    try:
        for candidate in (name, f"{name[:58]}-base"):
            rows = Model.objects.select_for_update().filter(team=team, name=candidate)
            model = rows.first()
            if model is None:
                with suppress(Conflict):  # somebody else makes it at this moment
                    return model_create(actor=actor, team=team, name=candidate)
                model = rows.get()
            if model.family == Family.TRANSFORMER and model.pk != version.model_id:
                require(actor, "registry.add_version", model)
                return model
    except (NotFound, PermissionDenied) as error:
        raise Conflict(error.message) from error
    said = _("The team has no model for the base %(base)s. Import the base into a model first.")
    raise Conflict(said % {"base": _called(base)})


def _named(base: Base) -> dict[str, Any]:
    return {"model": base.origin.model, "number": base.origin.number}


def _called(base: Base) -> str:
    return f"{base.origin.model} v{base.origin.number}"
