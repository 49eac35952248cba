"""Checkpoints as stored files: how a job goes on where nobody sees the disk it was written on.

On nodes that share the console's disk a checkpoint is a path and nothing here costs anything. One
that must travel gets a manifest: its files by content, beginning with the name of its folder.
"""

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from models_app.core.blobs import tree_adopt, tree_materialise
from models_app.jobs.attempts import lock_held
from models_app.jobs.models import Checkpoint, Job
from models_app.jobs.states import TERMINAL
from models_app.storage.inventory import GRACE
from models_app.storage.services import store_tidy

Manifest = Mapping[str, Mapping[str, Any]]


@transaction.atomic
def checkpoint_keep(*, job: Job, step: int, manifest: Manifest, epoch: int | None = None) -> bool:
    """A checkpoint of the present attempt, or of an earlier one (`epoch`), is in the store;
    older ones need not be any more.

    False when the row is gone: a newer one has taken its place. Raises StaleEpoch.
    """
    row = lock_held(job)
    kept = Checkpoint.objects.filter(job=row, step=step, epoch=epoch or job.epoch)
    if not kept.update(manifest=manifest):
        return False
    older = Checkpoint.objects.filter(job=row, step__lt=step, pinned_at=None)
    older.exclude(manifest={}).update(manifest={})
    return True


def checkpoint_adopt(checkpoint_id: int) -> bool:
    """Put a checkpoint that lies on this machine's disk into the store; whether it is there.

    Asked for by a node that got the job and does not see this disk.
    """
    row = Checkpoint.objects.filter(pk=checkpoint_id).first()
    if row is None:
        return False
    if row.manifest:
        return True
    path, folder = Path(row.path), checkpoint_folder(row.job_id)
    if path.parent != folder or path.name.startswith("."):
        return False
    try:
        with tempfile.TemporaryDirectory(prefix=".adopt-", dir=folder) as place:
            snapshot(path, Path(place))
            manifest = tree_adopt(Path(place))
    except FileNotFoundError:
        return False
    return bool(Checkpoint.objects.filter(pk=row.pk).update(manifest=manifest))


def checkpoint_folder(job_id: int) -> Path:
    """Where the checkpoints of a job lie; it survives attempts."""
    return Path(settings.DATA_DIR) / "checkpoints" / f"job-{job_id}"


def checkpoint_lay(manifest: Manifest, folder: Path, name: str) -> None:
    """Bring a checkpoint out of the store to `folder/name`, as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as place:
        tree_materialise(manifest, Path(place))
        (Path(place) / name).rename(folder / name)


def snapshot(path: Path, place: Path) -> None:
    """Link a checkpoint's files below `place`, so that retention cannot take them away meanwhile.

    Files of a checkpoint never change. Raises FileNotFoundError when it is gone already.
    """
    if path.is_dir():
        try:
            shutil.copytree(path, place / path.name, copy_function=_link)
        except shutil.Error as error:  # what went away while it was listed
            raise FileNotFoundError(path) from error
    else:
        _link(str(path), str(place / path.name))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def checkpoints_release(*, after: dt.timedelta = GRACE) -> int:
    """Let go of the stored checkpoints of jobs that ended a while ago; how many there were."""
    ended = Job.objects.filter(state__in=sorted(TERMINAL), finished_at__lt=Now() - after)
    rows = Checkpoint.objects.filter(job__in=ended, pinned_at=None).exclude(manifest={})
    return rows.update(manifest={})


def files_collect(*, grace: dt.timedelta = GRACE) -> int:
    """Once in a while, on a node with the console's disk: free what nothing needs any more."""
    checkpoints_release(after=grace)
    return store_tidy(grace=grace)
