"""The store on this machine's disk: `<data>/blobs/ab/cd/<sha256>`."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from models_app.core import blobs
from models_app.core.storage.contract import CHUNK, Leftover, Part, Stored
from models_app.core.storage.fetching import missing
from models_app.core.storage.partials import uploads_root

_BLOB = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.(put|get)-.*")


class LocalHome:
    """Age is the time of access, which `blobs` sets when somebody relies on a file."""

    kind = "disk"

    @property
    def place(self) -> str:
        return str(blobs.blob_root())

    def now(self) -> float:
        return time.time()

    def each(self) -> Iterator[Stored]:
        for path in blobs.blob_root().glob("??/??/*"):
            if _BLOB.fullmatch(path.name) and (found := _stored(path)):
                yield found

    @contextlib.contextmanager
    def read(self, sha256: str, begin: int = 0, end: int | None = None) -> Iterator[Part]:
        try:
            file = _open_unnoticed(blobs.blob_path(sha256))
        except FileNotFoundError:
            raise missing(sha256) from None
        with file:
            size = file.seek(0, 2)
            file.seek(begin)
            yield Part(begin, max(0, size - begin), iter(lambda: file.read(CHUNK), b""))

    def remove(self, sha256: str, before: float) -> int | None:
        path = blobs.blob_path(sha256)
        with blobs.blob_lock(shared=False):
            found = _stored(path)
            if found is None or found.renewed_at >= before:
                return None
            path.unlink(missing_ok=True)
            return found.size

    def leftovers(self, before: float) -> Iterator[Leftover]:
        return temporary(before)

    def clear(self, leftover: Leftover) -> None:
        clear(leftover)

    def set_aside(self, sha256: str) -> None:
        target = _aside() / sha256
        target.parent.mkdir(exist_ok=True)
        with blobs.blob_lock(shared=False), contextlib.suppress(FileNotFoundError):
            blobs.blob_path(sha256).replace(target)

    def aside(self) -> Iterator[Stored]:
        return (found for path in _aside().glob("*") if (found := _stored(path)))

    def free(self) -> tuple[int, int] | None:
        root = blobs.blob_root()
        usage = shutil.disk_usage(root if root.exists() else root.parent)
        return usage.free, usage.total


def temporary(before: float) -> Iterator[Leftover]:
    """What writers and uploads on this disk left behind."""
    found = [p for p in blobs.blob_root().glob(".*") if _TEMPORARY.fullmatch(p.name)]
    for path in [*found, *uploads_root().glob("*")]:
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            touched = max(facts.st_atime, facts.st_mtime)
            if touched < before:
                yield Leftover(path.name, facts.st_size, touched, path)


def clear(leftover: Leftover) -> None:
    """Remove something of this disk."""
    path: Path = leftover.handle
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _open_unnoticed(path: Path) -> BinaryIO:
    """Open without touching the time of access: a check is no use of a file."""
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOATIME), "rb")
    except PermissionError:  # not ours; then the disk's own rule decides
        return path.open("rb")


def _aside() -> Path:
    return blobs.blob_root() / blobs.ASIDE


def _stored(path: Path) -> Stored | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return Stored(path.name, facts.st_size, max(facts.st_atime, facts.st_mtime))
