"""A stored file as a stream to somebody else: from this disk, or past it out of the bucket.

What is only passed on does not push what jobs need out of the cache. Bytes from the bucket are
checked on the way: whoever reads a file from its beginning to its end gets the last of it only if
the whole has its digest, and notices by the length that it has not.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, cast

from models_app.core import storage
from models_app.core.blobs import blob_open, blob_path, blob_size
from models_app.core.storage import fetching
from models_app.core.storage.contract import Origin


def blob_reader(sha256: str) -> BinaryIO:
    """Open for reading and seeking. Raises BlobMissing, StoreUnavailable."""
    behind = storage.origin()
    if behind is None or blob_path(sha256).exists():
        return blob_open(sha256)
    size = blob_size(sha256)
    return cast(BinaryIO, io.BufferedReader(Passing(behind, sha256, size), 1 << 16))


class Passing(io.RawIOBase):
    """A file that lies elsewhere; a request is made where reading begins, and after a seek."""

    def __init__(self, behind: Origin, sha256: str, size: int) -> None:
        self._behind, self._sha256, self._size = behind, sha256, size
        self._at = 0
        self._stack, self._chunks = ExitStack(), cast("Iterator[bytes] | None", None)
        #: What was read ahead, and the digest of all that was read from the beginning.
        self._rest = b""
        self._digest: hashlib._Hash | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        target = max(0, base + offset)
        if target != self._at:
            self._stop()
            self._at = target
        return target

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = self._next()
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        self._at += taken
        return taken

    def close(self) -> None:
        self._stop()
        super().close()

    def _next(self) -> bytes:
        """The next bytes; the last of a whole file only if its digest is right."""
        if self._at >= self._size:
            return b""
        if self._chunks is None:
            self._start()
        assert self._chunks is not None
        chunk = next(self._chunks, b"")
        if self._digest is not None:
            self._digest.update(chunk)
            ends = self._at + len(chunk) >= self._size
            if ends and self._digest.hexdigest() != self._sha256:
                raise fetching.damaged(self._sha256)
        return chunk

    def _start(self) -> None:
        part = self._stack.enter_context(self._behind.read(self._sha256, self._at))
        if part.begin != self._at:
            raise ConnectionError("The store does not send parts of files.")
        self._chunks = part.chunks
        self._digest = hashlib.sha256() if self._at == 0 else None

    def _stop(self) -> None:
        self._stack.close()
        self._chunks, self._rest, self._digest = None, b"", None
