"""Checkpoints that outlive their run: kept by a person, downloaded, continued from."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.blobs import CHUNK, blob_open
from models_app.core.errors import NotFound, WrongState
from models_app.core.packing import tar_stream
from models_app.core.permission import require
from models_app.jobs.checkpoints import checkpoint_adopt
from models_app.jobs.models import Checkpoint, Job
from models_app.jobs.signals import job_announce


@transaction.atomic
def checkpoint_pin(*, actor: Actor, checkpoint: Checkpoint) -> Checkpoint:
    """Keep a checkpoint until it is let go of; WrongState when its files cannot be had."""
    require(actor, "jobs.pin_checkpoint", checkpoint.job)
    row = _locked(checkpoint)
    if row.pinned_at is None:
        checkpoint_stored(row)
        row.pinned_at, row.pinned_by_id = Now(), actor.pk
        row.save(update_fields=["pinned_at", "pinned_by"])
        _record(actor, "checkpoint.pinned", row)
    row.refresh_from_db()
    return row


@transaction.atomic
def checkpoint_unpin(*, actor: Actor, checkpoint: Checkpoint) -> Checkpoint:
    """Let go of a kept checkpoint: it goes when retention takes it. What continued stays."""
    require(actor, "jobs.pin_checkpoint", checkpoint.job)
    row = _locked(checkpoint)
    if row.pinned_at is not None:
        row.pinned_at = row.pinned_by = None
        row.save(update_fields=["pinned_at", "pinned_by"])
        _record(actor, "checkpoint.unpinned", row)
    return row


def checkpoint_stored(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """Its files by content, all of them in the store; WrongState when they cannot be had."""
    if not checkpoint.manifest and checkpoint_adopt(checkpoint.pk):
        checkpoint.refresh_from_db(fields=["manifest"])
    if not checkpoint.manifest:
        said = _(
            "The files of the checkpoint of step %(step)s are not in reach: they were removed, or "
            "lie on the disk of a node that does not share this one."
        )
        raise WrongState(said % {"step": checkpoint.step})
    return dict(checkpoint.manifest)


def checkpoint_pack(checkpoint: Checkpoint) -> Iterator[bytes]:
    """The checkpoint as a tar file."""
    manifest = checkpoint_stored(checkpoint)
    return tar_stream(
        (name, entry["size"], _pieces(entry["sha256"])) for name, entry in sorted(manifest.items())
    )


def _pieces(sha256: str) -> Iterator[bytes]:
    with blob_open(sha256) as stream:
        while piece := stream.read(CHUNK):
            yield piece


def _locked(checkpoint: Checkpoint) -> Checkpoint:
    # The row of the job puts us into a line with the run itself, which forgets old checkpoints.
    Job.objects.select_for_update().get(pk=checkpoint.job_id)
    row = Checkpoint.objects.select_related("job__team").filter(pk=checkpoint.pk).first()
    if row is None:
        raise NotFound(_("This checkpoint was removed meanwhile."))
    return row


def _record(actor: Actor, action: str, row: Checkpoint) -> None:
    changes = {"step": row.step, "digest": row.digest}
    audit_record(actor=actor, action=action, obj=row.job, changes=changes)
    job_announce(row.job)
