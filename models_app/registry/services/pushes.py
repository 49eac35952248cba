"""Files that come one push after the other, and the versions that are made of them.

A push adds and removes files of a model's draft, or of the draft of one version that waits for the
files of a run elsewhere. It may name stored files by their digest that the team has sent of late,
and those of this model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import Manifest, blob_open
from models_app.core.clock import now
from models_app.core.digests import tree_digest
from models_app.core.errors import Conflict, FieldError
from models_app.core.permission import require
from models_app.core.trees import Put, Remove, tree_changed
from models_app.registry.importing import PushSource
from models_app.registry.models import Draft, Model, ModelVersion
from models_app.registry.naming import LATEST, version_named, version_newest
from models_app.registry.services.filling import filling_job, version_awaited
from models_app.registry.services.importing import version_import
from models_app.registry.states import VersionState
from models_app.storage.uploads import uploads_known

#: An adapter_config.json that is larger is refused by the scan.
LARGEST_CONFIG = 1 << 20
_NAMED = """
SELECT DISTINCT entry.value ->> 'sha256', (entry.value ->> 'size')::bigint
  FROM registry_modelversion version, jsonb_each(version.manifest) entry
 WHERE version.model_id = %s AND entry.value ->> 'sha256' = ANY(%s)
"""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The draft after a push, and the version that was made of it, if it is whole."""

    digest: str
    version: ModelVersion | None


def files_known(*, model: Model, digests: Sequence[str]) -> dict[str, int]:
    """Those of `digests` that a push to this model may name without sending them, with sizes."""
    known = uploads_known(team_id=model.team_id, digests=digests)
    for draft in Draft.objects.filter(model=model):
        known |= {entry["sha256"]: entry["size"] for entry in draft.manifest.values()}
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, [model.pk, list(digests)])
        known |= dict(cursor.fetchall())
    return {sha256: known[sha256] for sha256 in digests if sha256 in known}


@transaction.atomic
def push_commit(
    *,
    actor: Actor,
    model: Model,
    changes: Sequence[Put | Remove],
    title: str,
    parent: str = "",
    version: ModelVersion | None = None,
) -> Pushed:
    """Change the draft of a model; a draft that is a whole model becomes a version, or fills
    `version`, which was registered for a run elsewhere.

    `parent`, a digest or the beginning of one, is what the sender knows as the newest state:
    Conflict when it is not. Raises FieldError naming the file; of a `version` that takes no files
    WrongState, or Conflict where an import brings them already.
    """
    require(actor, "registry.add_version", model)
    # The lock puts pushes to one model into a line.
    Model.objects.select_for_update().get(pk=model.pk)
    manifest, digest = draft_of(model, version)
    if parent and not (digest or "0" * 64).startswith(parent):
        said = _("The newest state is %(digest)s. Fetch it and push again.")
        raise Conflict(said % {"digest": digest[:40] or "empty"}, field="parent")
    wanted = [change.sha256 for change in changes if isinstance(change, Put)]
    changed = tree_changed(manifest, changes, files_known(model=model, digests=wanted))
    pushed = tree_digest(changed) if changed else ""
    made = _made_already(model, version, digest) if pushed == digest else None
    if made is not None or (version is None and pushed == digest):
        return Pushed(digest=digest, version=made)
    if version is not None:
        version = version_awaited(model=model, version_id=version.pk, field="revision")
    Draft.objects.update_or_create(
        model=model,
        version=version,
        defaults={
            "manifest": changed, "digest": pushed, "changed_by_id": actor.pk, "changed_at": now(),
        },
    )  # fmt: skip
    told = {"title": title[:200], "digest": pushed, "files": len(changed)}
    audit_record(actor=actor, action="model.pushed", obj=model, changes=told)
    if is_whole(changed):
        # It becomes ready when its files were looked at, like those of any import.
        made = version_import(
            actor=actor,
            model=model,
            source=PushSource(manifest=changed),
            version=version,
            notes="" if version and version.notes else title,
            base_version=adapter_base(actor, model, changed),
        )
    return Pushed(digest=pushed, version=made)


def draft_of(model: Model, version: ModelVersion | None = None) -> tuple[Manifest, str]:
    """Tree and digest on which the next push builds: the draft, or the newest version.

    What is pushed to a version that waits builds on nothing but its own draft.
    """
    draft = Draft.objects.filter(model=model, version=version).first()
    if version is not None:
        return (dict(draft.manifest), draft.digest) if draft else ({}, "")
    newest = version_newest(model)
    if draft and (newest is None or draft.changed_at >= newest.created_at):
        return dict(draft.manifest), draft.digest
    return (dict(newest.manifest), newest.digest) if newest else ({}, "")


def is_whole(manifest: Manifest) -> bool:
    """Whether the tree holds a model with weights and tokenizer, or an adapter with its weights.

    Clients push a model and its tokenizer one after the other, in either order.
    """
    return not missing_parts(manifest)


def missing_parts(manifest: Manifest) -> list[str]:
    """What the tree lacks of a model with its tokenizer, or of an adapter."""
    parts = () if "adapter_config.json" in manifest else ("config.json", "tokenizer.json")
    missing = [path for path in parts if path not in manifest]
    weights = any(path.endswith(".safetensors") for path in manifest)
    return missing if weights else [*missing, "model.safetensors"]


def _usable() -> Q:
    return Q(state__in=(VersionState.PENDING, VersionState.READY))


def _made_already(model: Model, version: ModelVersion | None, digest: str) -> ModelVersion | None:
    """The version that came of these files when they were pushed before."""
    if version is not None:
        return version if filling_job(version) else None
    rows = model.versions.filter(digest=digest) if digest else model.versions.none()
    return rows.filter(_usable()).order_by("-number").first()


def adapter_base(actor: Actor, model: Model, manifest: Manifest) -> ModelVersion | None:
    """The version on which a pushed adapter was trained, as its configuration names it."""
    entry = manifest.get("adapter_config.json")
    if entry is None or entry["size"] > LARGEST_CONFIG:
        return None
    with blob_open(entry["sha256"]) as file:
        try:
            config = json.load(file)
        except ValueError:
            config = None
    named = config if isinstance(config, dict) else {}
    team, _slash, name = str(named.get("base_model_name_or_path")).rpartition("/")
    base = Model.objects.visible_to(actor).filter(team_id=model.team_id, name=name).first()
    if base is None or team.rpartition("/")[2] != model.team.slug:
        said = _(
            "adapter_config.json names the base %(name)s. Set base_model_name_or_path to a model"
            " of this team, such as %(team)s/model, and revision to its version."
        )
        words = {"name": named.get("base_model_name_or_path"), "team": model.team.slug}
        raise FieldError("base_model_name_or_path", said % words)
    return version_named(model=base, name=str(named.get("revision") or LATEST))
