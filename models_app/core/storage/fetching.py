"""Brings a file from an origin to this disk: once, checked by its digest, going on where it broke.

Raises BlobMissing when the origin has not got it, StoreUnavailable when it cannot say.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.utils.translation import gettext as _

from models_app.core.storage.contract import CHUNK, Origin
from models_app.core.storage.errors import BlobMissing, StoreUnavailable

#: Tries in a row that bring nothing before the caller hears of it.
TRIES = 4
PAUSE_S = 0.3
_FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch(origin: Origin, sha256: str, final: Path) -> None:
    """Bring a blob to `final`, once, whoever else asks for it at the same time."""
    partial = final.parent.parent.parent / f".get-{sha256}"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with alone(partial) as file:
        if final.exists():
            partial.unlink(missing_ok=True)
            return
        try:
            _complete(origin, sha256, file)
        except BlobMissing:
            partial.unlink(missing_ok=True)
            raise
        os.fsync(file.fileno())
        partial.chmod(0o444)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(final)


def is_full(error: BaseException) -> bool:
    """Whether the disk has no room left."""
    return getattr(error, "errno", None) in _FULL


def damaged(sha256: str) -> BlobMissing:
    """The error that says so."""
    said = _("The stored file %(digest)s is damaged.") % {"digest": sha256[:12]}
    return BlobMissing(said, sha256=sha256)


def missing(sha256: str) -> BlobMissing:
    """The error that says so."""
    said = _("The stored file %(digest)s is missing.") % {"digest": sha256[:12]}
    return BlobMissing(said, sha256=sha256)


def _complete(origin: Origin, sha256: str, file: IO[bytes]) -> None:
    """Fill `file` until its digest is right."""
    fruitless = wrong = 0
    while True:
        before = os.fstat(file.fileno()).st_size
        try:
            whole = _download(origin, sha256, file)
        except (OSError, StoreUnavailable) as error:
            if is_full(error):
                raise StoreUnavailable("The disk of this node is full.") from error
            grown = os.fstat(file.fileno()).st_size > before
            fruitless = 0 if grown else fruitless + 1
            if isinstance(error, StoreUnavailable) and not grown:
                raise
            if fruitless >= TRIES:
                raise StoreUnavailable(f"The store sends nothing: {error}.") from error
            time.sleep(PAUSE_S * 2**fruitless)
            continue
        if whole:
            return
        wrong += 1
        file.truncate(0)
        if wrong > 1:
            raise damaged(sha256)


def _download(origin: Origin, sha256: str, file: IO[bytes]) -> bool:
    """Append what is missing; whether the whole has the right digest."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    have = file.tell()
    with origin.read(sha256, have) as part:
        if part.begin != have:
            file.truncate(part.begin)
            file.seek(0)
            digest = hashlib.sha256()
        left = part.left
        for chunk in part.chunks:
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
        file.flush()
        if left:
            raise ConnectionError(f"broke off {left} bytes before the end")
    return digest.hexdigest() == sha256


@contextlib.contextmanager
def alone(partial: Path) -> Iterator[IO[bytes]]:
    """The partial file, held by one thread of one process at a time."""
    while True:
        with partial.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it before may have finished: then this is not the file any more.
            try:
                ours = partial.stat().st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                ours = False
            if ours:
                yield file
                return
