"""Brings all files from this disk into the bucket, or back. Interrupted, it goes on later."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core import blob_cache, storage
from models_app.core.blobs import blob_path, blob_root
from models_app.core.errors import WrongState
from models_app.core.storage import fetching
from models_app.core.storage.contract import CHUNK
from models_app.core.storage.errors import BlobMissing, StoreFull
from models_app.core.storage.local import LocalHome


@dataclass
class Moved:
    """How far it is; `damaged` were left where they are."""

    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def move_to_bucket(*, say: Callable[[Moved], None]) -> Moved:
    """Put every file of this disk into the bucket; then what lies here counts as copies.

    Slipway must not run meanwhile with its old settings. Raises WrongState, StoreUnavailable.
    """
    bucket, done = _bucket(), Moved()
    for one in LocalHome().each():
        path = blob_path(one.sha256)
        if bucket.size(one.sha256) != one.size:
            if _digest(path) != one.sha256:
                done.damaged.append(one.sha256)
                continue
            bucket.push(path, one.sha256, one.size)
        done.files += 1
        done.bytes += one.size
        say(done)
    for sha256 in done.damaged:
        LocalHome().set_aside(sha256)
    blob_cache.claim(blob_root(), settings.BLOB_URL, sure=True)
    return done


def move_to_disk(*, say: Callable[[Moved], None]) -> Moved:
    """Bring every file of the bucket to this disk; then the setting can be taken away.

    Raises WrongState, StoreUnavailable, StoreFull.
    """
    bucket, done = _bucket(), Moved()
    wanted = [one for one in bucket.each() if not _lies_here(one.sha256, one.size)]
    blob_root().mkdir(parents=True, exist_ok=True)
    if sum(one.size for one in wanted) > shutil.disk_usage(blob_root()).free:
        raise StoreFull
    # From now on nothing is removed from here to make room.
    blob_cache.release(blob_root())
    for one in wanted:
        try:
            fetching.fetch(bucket, one.sha256, blob_path(one.sha256))
        except BlobMissing:
            done.damaged.append(one.sha256)
            continue
        done.files += 1
        done.bytes += one.size
        say(done)
    return done


def _bucket() -> Any:
    if not settings.BLOB_URL or settings.STORE_URL:
        raise WrongState(_("Set SLIPWAY_BLOB_URL and what belongs to it first."))
    bucket: Any = storage.home()
    if problem := bucket.check():
        said = _("%(place)s cannot be used. %(problem)s")
        raise WrongState(said % {"place": settings.BLOB_URL, "problem": problem})
    return bucket


def _lies_here(sha256: str, size: int) -> bool:
    path = blob_path(sha256)
    return path.exists() and path.stat().st_size == size


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
