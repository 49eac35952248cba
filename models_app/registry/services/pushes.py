"""Files that come one push after the other, and the versions that are made of them.

A push adds and removes files of a model's draft. Whoever names a stored file by its digest must
have sent it, or find it in a version of this model: knowing a digest is not having the file.
"""

import datetime as dt
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import Manifest
from models_app.core.clock import now
from models_app.core.digests import tree_digest
from models_app.core.errors import Conflict, FieldError
from models_app.core.permission import require
from models_app.registry.models import Draft, HeldFile, Model, ModelVersion
from models_app.registry.states import VersionState
from models_app.storage.inventory import GRACE

MOST_FILES = 10_000
_NAMED = """
SELECT DISTINCT entry.value ->> 'sha256', (entry.value ->> 'size')::bigint
  FROM registry_modelversion version, jsonb_each(version.manifest) entry
 WHERE version.model_id = %s AND entry.value ->> 'sha256' = ANY(%s)
"""


@dataclass(frozen=True, kw_only=True)
class Put:
    """A file gets this content; a stored file names the sender's right to it (see module)."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Remove:
    """A file, or a folder with all that is in it, goes."""

    path: str
    folder: bool = False


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The draft after a push, and the version that was made of it, if it is whole."""

    digest: str
    version: ModelVersion | None


def files_hold(*, actor: Actor, model: Model, files: Iterable[tuple[str, int]]) -> None:
    """Note that the actor's team sent these stored files, (sha256, size); they stay for a day."""
    require(actor, "registry.add_version", model)
    rows = [
        HeldFile(team_id=model.team_id, sha256=sha256, size=size, held_at=now())
        for sha256, size in dict.fromkeys(files)
    ]
    HeldFile.objects.bulk_create(
        rows, update_conflicts=True, update_fields=["held_at"], unique_fields=["team", "sha256"]
    )


def files_known(*, model: Model, digests: Sequence[str]) -> dict[str, int]:
    """Those of `digests` that a push to this model may name without sending them, with sizes."""
    held = HeldFile.objects.filter(team_id=model.team_id, sha256__in=digests)
    known = dict(held.values_list("sha256", "size"))
    draft = Draft.objects.filter(model=model).first()
    for entry in (draft.manifest if draft else {}).values():
        known[entry["sha256"]] = entry["size"]
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, [model.pk, list(digests)])
        known |= dict(cursor.fetchall())
    return {sha256: known[sha256] for sha256 in digests if sha256 in known}


def files_release(*, after: dt.timedelta = GRACE) -> int:
    """Let go of files that were sent long ago; how many there were."""
    return HeldFile.objects.filter(held_at__lt=Now() - after).delete()[0]


@transaction.atomic
def push_commit(
    *,
    actor: Actor,
    model: Model,
    changes: Sequence[Put | Remove],
    title: str,
    parent: str = "",
) -> Pushed:
    """Change the draft of a model; a draft that is a whole model becomes a version.

    `parent`, a digest or the beginning of one, is what the sender knows as the newest state:
    Conflict when it is not. Raises FieldError naming the file.
    """
    require(actor, "registry.add_version", model)
    # The lock puts pushes to one model into a line.
    Model.objects.select_for_update().get(pk=model.pk)
    manifest, digest = draft_of(model)
    if parent and not digest.startswith(parent):
        said = _("The newest state is %(digest)s. Fetch it and push again.")
        raise Conflict(said % {"digest": digest[:40] or "empty"}, field="parent")
    changed = _applied(model, manifest, changes)
    pushed = tree_digest(changed) if changed else ""
    if pushed == digest:
        return Pushed(digest=digest, version=_version_of(model, digest))
    Draft.objects.update_or_create(
        model=model,
        defaults={
            "manifest": changed, "digest": pushed, "changed_by_id": actor.pk, "changed_at": now(),
        },
    )  # fmt: skip
    told = {"title": title[:200], "digest": pushed, "files": len(changed)}
    audit_record(actor=actor, action="model.pushed", obj=model, changes=told)
    version = None
    if is_whole(changed):
        version = version_receive(
            actor=actor, model=model, manifest=changed, digest=pushed, notes=title
        )
    return Pushed(digest=pushed, version=version)


def draft_of(model: Model) -> tuple[Manifest, str]:
    """Tree and digest on which the next push builds: the draft, or the newest version."""
    draft = Draft.objects.filter(model=model).first()
    newest = model.versions.exclude(digest="").filter(_usable()).order_by("-number").first()
    if draft and (newest is None or draft.changed_at >= newest.created_at):
        return dict(draft.manifest), draft.digest
    return (dict(newest.manifest), newest.digest) if newest else ({}, "")


def is_whole(manifest: Manifest) -> bool:
    """Whether the tree holds a model or an adapter with its weights."""
    weights = any(path.endswith(".safetensors") for path in manifest)
    return weights and bool({"config.json", "adapter_config.json"} & set(manifest))


def _usable() -> Q:
    return Q(state__in=(VersionState.PENDING, VersionState.READY))


def _version_of(model: Model, digest: str) -> ModelVersion | None:
    rows = model.versions.filter(digest=digest) if digest else model.versions.none()
    return rows.filter(_usable()).order_by("-number").first()


def _applied(model: Model, manifest: Manifest, changes: Sequence[Put | Remove]) -> Manifest:
    wanted = [change.sha256 for change in changes if isinstance(change, Put)]
    known = files_known(model=model, digests=wanted)
    changed = dict(manifest)
    for change in changes:
        path = clean_path(change.path.rstrip("/"))
        if isinstance(change, Put):
            if known.get(change.sha256) != change.size:
                said = _("%(path)s was not uploaded. Send the file first, then push again.")
                raise FieldError(path, said % {"path": path})
            changed[path] = {"sha256": change.sha256, "size": change.size}
            continue
        gone = [name for name in changed if _is_in(name, path, folder=change.folder)]
        if not gone:
            said = _("A file with this name doesn't exist: %(path)s.")
            raise FieldError(path, said % {"path": path})
        for name in gone:
            del changed[name]
    if len(changed) > MOST_FILES:
        said = _("A version may have at most %(most)s files.")
        raise FieldError("files", said % {"most": f"{MOST_FILES:,}"})
    return changed


def _is_in(name: str, path: str, *, folder: bool) -> bool:
    return name.startswith(f"{path}/") if folder else name == path


def clean_path(path: str) -> str:
    """A relative path of plain names, composed (NFC); or FieldError."""
    text = unicodedata.normalize("NFC", path)
    parts = text.split("/")
    bad = any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)
    control = any(unicodedata.category(c).startswith("C") or c == "\\" for c in text)
    if bad or control or len(parts) > 20:
        said = _("The path %(path)r leaves its tree or cannot be kept. Use plain relative names.")
        raise FieldError("path", said % {"path": path[:200]})
    return text


def version_receive(
    *, actor: Actor, model: Model, manifest: Manifest, digest: str, notes: str
) -> ModelVersion:
    """A pending version of files that are stored; it becomes ready when they were looked at."""
    return ModelVersion.objects.create(
        model=model,
        number=(model.versions.aggregate(top=Max("number"))["top"] or 0) + 1,
        manifest=manifest,
        digest=digest,
        notes=notes,
        state="ready",
        ready_at=now(),
    )
