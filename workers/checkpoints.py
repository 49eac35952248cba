"""Brings checkpoints to where the job goes on, when nodes do not share a disk.

Up: `CheckpointSender` gives the newest one to the console, beside the training. Down: `restore`
fetches the newest one that this node has not got, before the child starts.
"""

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.db import DatabaseError, connections

from models_app.core import store
from models_app.core.blobs import BlobMissing, tree_send
from models_app.core.errors import StaleEpoch
from models_app.core.store import StoreUnavailable
from models_app.jobs.checkpoints import (
    checkpoint_folder,
    checkpoint_keep,
    checkpoint_lay,
    snapshot,
)
from models_app.jobs.models import Checkpoint, Job

logger = logging.getLogger(__name__)
RETRY_S = 2.0


class CheckpointSender:
    """Sends the newest checkpoint of one attempt; superseded ones are skipped.

    Does nothing at all on a node that shares the console's disk.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._active = store.is_remote()
        self._waiting: tuple[int, Path, int] | None = None
        self._changed = threading.Condition()
        self._busy = self._closed = False

    def offer(self, step: int, path: str, epoch: int | None = None) -> None:
        """A new checkpoint exists, or one of an earlier attempt is needed elsewhere."""
        if not self._active:
            return
        with self._changed:
            self._waiting = (step, Path(path), epoch or self.job.epoch)
            if not self._busy and not self._closed:
                self._busy = True
                name = f"checkpoint-{self.job.pk}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until the newest one is in the store; False if that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_s)

    def close(self) -> None:
        """The attempt has ended: what is not sent yet is not needed any more."""
        with self._changed:
            self._closed, self._waiting = True, None
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (newest := self._take()) is not None:
                self._send(*newest)
        except StaleEpoch:
            self._give_up()
        except Exception:
            logger.exception("checkpoints of job %s are not sent", self.job.pk)
            self._give_up()
        finally:
            connections.close_all()

    def _take(self) -> tuple[int, Path, int] | None:
        with self._changed:
            newest, self._waiting = self._waiting, None
            if newest is None:
                # Said under the lock: an offer that comes now starts a new thread.
                self._busy = False
                self._changed.notify_all()
            return newest

    def _give_up(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()

    def _send(self, step: int, path: Path, epoch: int) -> None:
        begun = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix=".send-", dir=path.parent) as place:
                snapshot(path, Path(place))
                manifest = tree_send(Path(place))
            kept = checkpoint_keep(job=self.job, step=step, epoch=epoch, manifest=manifest)
        except FileNotFoundError:
            return  # retention was faster, so there is a newer one
        except (StoreUnavailable, DatabaseError) as error:
            logger.warning("checkpoint %s of job %s waits: %s", step, self.job.pk, error)
            connections.close_all()
            self._again(step, path, epoch)
            return
        took = time.monotonic() - begun
        logger.info("checkpoint %s of job %s sent in %.1f s: %s", step, self.job.pk, took, kept)

    def _again(self, step: int, path: Path, epoch: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting is not None, RETRY_S)
            if self._waiting is None and not self._closed:
                self._waiting = (step, path, epoch)


def newest_unsent(job: Job) -> Checkpoint | None:
    """The newest checkpoint on this node's disk, if no other node can have it yet."""
    if not store.is_remote():
        return None
    for row in Checkpoint.objects.filter(job=job).order_by("-step", "-epoch"):
        if (checkpoint_folder(job.pk) / row.name).exists():
            return None if row.manifest else row
    return None


def restore(job: Job, say: Callable[[str], None]) -> None:
    """Have the newest recorded checkpoint on this node's disk, if it can be had.

    Raises StoreUnavailable when trying again later may help.
    """
    folder = checkpoint_folder(job.pk)
    _clear_unfinished(folder)
    for row in Checkpoint.objects.filter(job=job).order_by("-step", "-epoch"):
        name = Path(row.path).name
        if (folder / name).exists():
            return
        try:
            manifest = _manifest(row)
            if not manifest:
                continue
            checkpoint_lay(manifest, folder, name)
        except BlobMissing as error:
            say(f"The checkpoint of step {row.step} cannot be fetched: {error.message}")
            continue
        say(f"Fetched the checkpoint of step {row.step}, {row.size_bytes:,} bytes.")
        return


def _clear_unfinished(folder: Path) -> None:
    """What an earlier attempt on this node was about to send or to fetch when it was killed."""
    if store.is_remote():
        for path in [*folder.glob(".send-*"), *folder.glob(".fetch-*")]:
            shutil.rmtree(path, ignore_errors=True)


def _manifest(row: Checkpoint) -> dict[str, dict[str, object]]:
    """Its files by content; the console is asked to store them if they lie on its disk only."""
    if row.manifest or not store.is_remote():
        return dict(row.manifest)
    if store.ask("POST", f"checkpoints/{row.pk}"):
        row.refresh_from_db(fields=["manifest"])
    return dict(row.manifest)
