"""Uploads in pieces: create, append from an offset on, finish. A broken connection costs one piece.

What has come lies beside the store and grows (`core.storage.partials`); when it is whole it becomes
a stored file, which whatever it was sent for then names. For a day the upload itself does.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import CHUNK, blob_renew
from models_app.core.clock import now
from models_app.core.errors import FieldError, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.core.storage.partials import Partial, WrongOffset
from models_app.core.storage.room import require_room
from models_app.storage.models import Upload
from models_app.storage.states import UPLOAD_ALLOWED, UploadState

#: For so long an upload waits for its next piece, and afterwards to be used.
KEPT = dt.timedelta(days=1)


@transaction.atomic
def upload_start(*, actor: Actor, team: Any, name: str, size: int, sha256: str = "") -> Upload:
    """Announce a file. Raises FieldError, and StoreFull where it would not fit."""
    require(actor, "storage.add_upload", team)
    name = clean_title(name.replace("\\", "/").rsplit("/", 1)[-1], "name", 255)
    most = settings.UPLOAD_LIMIT_MIB << 20
    if not 1 <= size <= most:
        raise FieldError("size", _("Use a number of bytes from 1 to %(most)s.") % {"most": most})
    if sha256 and not (len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")):
        raise FieldError("sha256", _("Use 64 hexadecimal digits in lower case, or leave it out."))
    require_room(size)
    upload = Upload.objects.create(
        team=team, created_by_id=actor.pk, name=name, size=size, sha256=sha256
    )
    audit_record(actor=actor, action="upload.started", obj=upload, changes={"size": size})
    return upload


def upload_append(*, actor: Actor, upload: Upload, offset: int, stream: BinaryIO) -> int:
    """Add a piece that begins at `offset`; returns where the next one begins.

    What came before the connection broke is kept. Raises WrongOffset, WrongState, StoreFull.
    """
    require(actor, "storage.add_upload", upload)
    _require_open(upload)
    with partial_of(upload).appending(offset, upload.size) as piece:
        while data := stream.read(CHUNK):
            piece.write(data)
    Upload.objects.filter(pk=upload.pk).update(touched_at=now())
    return piece.offset


def upload_finish(*, actor: Actor, upload: Upload) -> Upload:
    """The last byte has come: make it a stored file. Done twice it changes nothing.

    Raises WrongOffset while bytes are missing, DigestMismatch, StoreUnavailable.
    """
    require(actor, "storage.add_upload", upload)
    if upload.state == UploadState.DONE:
        return upload
    _require_open(upload)
    partial = partial_of(upload)
    if partial.offset != upload.size:
        # An earlier try may have got as far as the store, and no further.
        if not (upload.sha256 and not partial.offset and blob_renew(upload.sha256)):
            said = _("%(missing)s bytes are missing.") % {"missing": upload.size - partial.offset}
            raise WrongOffset(said, offset=partial.offset)
        sha256 = upload.sha256
    else:
        sha256, _size = partial.finish(upload.sha256)
    with transaction.atomic():
        advance(upload, UploadState.DONE, allowed=UPLOAD_ALLOWED, sha256=sha256, touched_at=now())
        changes = {"size": upload.size, "file": sha256[:12]}
        audit_record(actor=actor, action="upload.finished", obj=upload, changes=changes)
    return upload


@transaction.atomic
def upload_drop(*, actor: Actor, upload: Upload) -> None:
    """It is not wanted any more."""
    require(actor, "storage.add_upload", upload)
    _require_open(upload)
    advance(upload, UploadState.DROPPED, allowed=UPLOAD_ALLOWED)
    audit_record(actor=actor, action="upload.dropped", obj=upload)
    transaction.on_commit(partial_of(upload).discard)


def uploads_use(*, actor: Actor, team: Any, keys: Sequence[Any]) -> list[dict[str, Any]]:
    """Finished uploads of a team as `{"name", "sha256", "size"}`, or FieldError."""
    rows = Upload.objects.visible_to(actor).filter(team=team, key__in=keys)
    known = {str(row.key): row for row in rows}
    found = []
    for key in keys:
        row = known.get(str(key))
        if row is None or row.state != UploadState.DONE or not blob_renew(row.sha256):
            said = _("%(key)s is no finished upload of this team.") % {"key": key}
            raise FieldError("uploads", said)
        found.append({"name": row.name, "sha256": row.sha256, "size": row.size})
    return found


@transaction.atomic
def uploads_note(*, actor: Actor, team: Any, files: Iterable[tuple[str, int]]) -> None:
    """These files, (sha256, size), came whole and lie in the store; as uploads they are kept."""
    require(actor, "storage.add_upload", team)
    Upload.objects.bulk_create(
        Upload(
            team=team, created_by_id=actor.pk, name=sha256[:12], size=size, sha256=sha256,
            state=UploadState.DONE,
        )
        for sha256, size in dict.fromkeys(files)
    )  # fmt: skip


def uploads_known(*, team_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Those of `digests` that somebody of the team has sent of late, with their sizes."""
    rows = Upload.objects.filter(team_id=team_id, state=UploadState.DONE, sha256__in=digests)
    return dict(rows.values_list("sha256", "size"))


def uploads_expire() -> int:
    """Drop what nobody goes on with, and forget what is over; how many were dropped."""
    late = now() - KEPT
    dropped = 0
    for upload in Upload.objects.filter(state=UploadState.OPEN, touched_at__lt=late):
        advance(upload, UploadState.DROPPED, allowed=UPLOAD_ALLOWED)
        partial_of(upload).discard()
        dropped += 1
    Upload.objects.exclude(state=UploadState.OPEN).filter(touched_at__lt=late).delete()
    return dropped


def partial_of(upload: Upload) -> Partial:
    """What of it has come."""
    return Partial(f"upload-{upload.key.hex}")


def _require_open(upload: Upload) -> None:
    if upload.state != UploadState.OPEN:
        said = _("This upload is %(state)s.") % {"state": upload.get_state_display()}
        raise WrongState(said, state=upload.state)
