"""Files that come in pieces, over connections that may break: on this disk until they are whole.

`<data>/uploads/<name>` grows only at its end, by one writer at a time; how long it is, is where the
next piece begins. Uploads of people and of joined nodes both use this.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core import blobs
from models_app.core.errors import Conflict
from models_app.core.storage.errors import StoreFull
from models_app.core.storage.fetching import is_full


class WrongOffset(Conflict):
    """The piece does not begin where the last one ended; `offset` says where that is."""

    code = "wrong_offset"


class DigestMismatch(Conflict):
    """The bytes that came do not have the digest that was announced."""

    status = 422
    code = "digest_mismatch"


def uploads_root() -> Path:
    """Where unfinished uploads lie."""
    return Path(settings.DATA_DIR) / "uploads"


class Partial:
    """One file that is on its way; `name` is chosen by us, never by whoever sends."""

    def __init__(self, name: str) -> None:
        self.path = uploads_root() / name

    @property
    def offset(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def appending(self, offset: int, most: int) -> Iterator["Piece"]:
        """Write a piece from `offset` on; what came stays when the connection breaks.

        Raises WrongOffset, also while another piece is being written; StoreFull.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                said = _("Another piece of this upload is being written. Ask where it ends.")
                raise WrongOffset(said, offset=self.offset) from None
            at = file.seek(0, os.SEEK_END)
            if at != offset:
                said = _("The next piece begins at byte %(at)s.") % {"at": at}
                raise WrongOffset(said, offset=at)
            try:
                yield Piece(file, at, most)
            finally:
                _settle(file)

    def finish(self, sha256: str = "") -> tuple[str, int]:
        """Make it a stored file; returns (sha256, size). With another digest it is dropped."""
        try:
            return blobs.blob_take(self.path, sha256)
        except blobs.NotThatFile as error:
            self.discard()
            said = _(
                "The bytes have the digest %(found)s, not the one that was announced. They are "
                "dropped; send the file again."
            )
            raise DigestMismatch(said % {"found": error.found}) from None

    def discard(self) -> None:
        """Drop what came."""
        self.path.unlink(missing_ok=True)


class Piece:
    """Takes bytes for the end of a file, `most` in all."""

    def __init__(self, file: IO[bytes], at: int, most: int) -> None:
        self._file, self.offset, self.most = file, at, most

    def write(self, data: bytes) -> None:
        """Append; raises StoreFull, and WrongOffset for more than was announced."""
        if self.offset + len(data) > self.most:
            said = _("More bytes came than the %(most)s that were announced.")
            raise WrongOffset(said % {"most": self.most}, offset=self.offset)
        try:
            self._put(data)
        except OSError as error:
            if is_full(error):
                raise StoreFull from error
            raise
        self.offset += len(data)

    def _put(self, data: bytes) -> None:
        self._file.write(data)


def _settle(file: IO[bytes]) -> None:
    """Make durable what came; a full disk has been told already."""
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        if not is_full(error):
            raise
