"""A tar file as a stream: files go by, a piece at a time, and none is written to the disk."""

import tarfile
from collections.abc import Iterable, Iterator

_BLOCK = tarfile.BLOCKSIZE


def tar_stream(entries: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """Pack `(name, size, pieces)`; the same entries give the same bytes."""
    for name, size, pieces in entries:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        yield from pieces
        yield bytes(-size % _BLOCK)
    yield bytes(2 * _BLOCK)
