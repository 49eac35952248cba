"""Tar files as streams: files go by, a piece at a time, and none is written to the disk."""

import tarfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import accumulate

from models_app.core.reading import blob_reader
from models_app.core.storage.contract import CHUNK

_BLOCK = tarfile.BLOCKSIZE


def tar_stream(entries: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """Pack `(name, size, pieces)`; the same entries give the same bytes."""
    for name, size, pieces in entries:
        yield _header(name, size)
        yield from pieces
        yield bytes(-size % _BLOCK)
    yield bytes(2 * _BLOCK)


class Packed:
    """A tar file of bytes at hand and of stored files, of which any part can be read."""

    def __init__(self, entries: Iterable[tuple[str, int, bytes | str]]) -> None:
        """`(name, size, content)`: bytes, or the digest of a stored file."""
        self._parts: list[tuple[int, bytes | str]] = []
        for name, size, content in entries:
            header = _header(name, size)
            self._parts += [(len(header), header), (size, content)]
            self._parts.append((-size % _BLOCK, bytes(-size % _BLOCK)))
        self._parts.append((2 * _BLOCK, bytes(2 * _BLOCK)))
        self._parts = [part for part in self._parts if part[0]]
        #: Where each part begins, and the end of all.
        self._begins = [0, *accumulate(size for size, _content in self._parts)]

    @property
    def size(self) -> int:
        return self._begins[-1]

    def pieces(self, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `begin` to before `end`, a piece at a time."""
        stop = self.size if end is None else min(end, self.size)
        place = max(0, bisect_right(self._begins, begin) - 1)
        while begin < stop and place < len(self._parts):
            start, (size, content) = self._begins[place], self._parts[place]
            until = min(size, stop - start)
            if isinstance(content, bytes):
                yield content[begin - start : until]
            else:
                yield from _stored(content, begin - start, until)
            begin, place = start + size, place + 1


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def _stored(sha256: str, begin: int, end: int) -> Iterator[bytes]:
    """Part of a stored file; cut short if it is, which the caller of the whole notices."""
    with closing(blob_reader(sha256)) as file:
        file.seek(begin)
        while begin < end and (piece := file.read(min(CHUNK, end - begin))):
            begin += len(piece)
            yield piece
        if begin < end:
            raise EOFError(f"The stored file {sha256[:12]} ends early.")
