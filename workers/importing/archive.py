"""Zip and tar archives, read member by member; nothing is ever extracted by the libraries.

Python's own extraction has been escaped again and again, filters included, so only bytes are taken
from it: names pass the gate, and files are written under names of our own.
"""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import zstandard

from models_app.registry.bundles.manifest import BundleRefused, Manifest
from models_app.registry.bundles.peeking import manifest_peek
from workers.importing.budget import Bomb, allowance
from workers.importing.bundle import NAME, NOTHING, Listing, Stored, listing_of
from workers.importing.errors import ImportRefused
from workers.importing.intake import Intake, TooLarge
from workers.importing.zips import take_zip
from workers.scanning.limits import MIB

#: Archives smaller than this may unpack to RATIO_FREE whatever their ratio: text packs well.
RATIO_FREE = 16 * MIB
#: Bytes of headers between two members of a tar; longer ones are names made to fill memory.
MOST_HEADERS = 1 * MIB
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    zstandard.ZstdError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


def take_archive(
    intake: Intake, path: Path, stamp: str, stored: Stored = NOTHING
) -> Listing | None:
    """Take every file of the archive at `path`; `stamp` tells whether it is still the same one.

    Of a bundle its list comes back. `stored`: files that need not be written again.
    """
    with _opened(path) as file:
        head = file.read(512)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        budget = max(RATIO_FREE, intake.limits.ratio * size)
        try:
            if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                take_zip(intake, file, stamp, budget)
            else:
                return _take_tar(intake, _unpacked(file, head), stamp, budget, stored)
        except Bomb as error:
            intake.report.add("files.ratio", "", str(error))
        except (ImportRefused, TooLarge):
            raise
        except _BROKEN as error:
            said = f"{type(error).__name__}: {str(error)[:200]}"
            intake.report.add("files.archive", "", f"It is damaged or of an unknown kind ({said}).")
    return None


def manifest_in(path: Path) -> Manifest | None:
    """The list of the bundle at `path`, packed or not; None for anything that is none."""
    with _opened(path) as file:
        head = file.read(512)
        file.seek(0)
        try:
            return manifest_peek(cast(BinaryIO, _unpacked(file, head)))
        except (BundleRefused, *_BROKEN):
            return None


def _opened(path: Path) -> BinaryIO:
    """The archive itself, and not what took its name since it was found."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        said = f"{path.name} cannot be read any more ({error.strerror}). Import it again."
        raise ImportRefused("path", said) from None
    file = os.fdopen(number, "rb")
    real = Path(os.path.realpath(f"/proc/self/fd/{number}"))
    moved = real != Path(os.path.realpath(path.parent)) / path.name
    if moved or not stat.S_ISREG(os.fstat(number).st_mode):
        file.close()
        raise ImportRefused("path", f"{path.name} is no plain file. Import it again.")
    return file


def _unpacked(file: BinaryIO, head: bytes) -> IO[bytes]:
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        # A window of 128 MiB at most: what --long asks for beyond that is memory, not content.
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
    if head[257:262] == b"ustar":
        return file
    raise tarfile.ReadError("neither zip nor tar; use " + ", ".join(SUFFIXES))


class _Metered:
    """What the tar library reads from: bounded in all, and bounded between two members."""

    def __init__(self, stream: IO[bytes], allow: Callable[[int], None]) -> None:
        self._stream, self._allow = stream, allow
        self.headers: int | None = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._allow(len(data))
        if self.headers is not None:
            self.headers += len(data)
            if self.headers > MOST_HEADERS + (1 << 18):
                raise Bomb(f"Its headers have more than {MOST_HEADERS:,} bytes.")
        return data


def _take_tar(
    intake: Intake, stream: IO[bytes], stamp: str, budget: int, stored: Stored
) -> Listing | None:
    metered = _Metered(stream, allowance(budget))
    listing: Listing | None = None
    first = True
    with tarfile.open(fileobj=cast(Any, metered), mode="r|", encoding="utf-8") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
            if info.isdir():
                metered.headers = 0
                continue
            if _tar_name(info) == NAME:
                metered.headers = None
                entry = cast(BinaryIO | None, archive.extractfile(info) if info.isreg() else None)
                listing = listing_of(intake, stored, entry, info.size, first=first)
                if listing is None:
                    return None
            else:
                _take_member(intake, archive, info, stamp, listing, metered)
                if intake.gate.full:
                    return listing
            first = False
            metered.headers = None if info.size else 0
            _skip_to_end(archive, info, metered)
    if listing is not None:
        listing.finish()
    return listing


def _take_member(
    intake: Intake, archive: tarfile.TarFile, info: tarfile.TarInfo, stamp: str,
    listing: Listing | None, metered: _Metered,
) -> None:  # fmt: skip
    name = _tar_name(info)
    listed = listing is None or listing.expects(name, info.size)
    if not intake.wants(name, _tar_kind(info)) or not listed:
        return
    member = archive.extractfile(info)
    if member is not None:
        metered.headers = None
        take = listing.take if listing is not None else intake.take
        take(name, f"{stamp}-{info.offset}", cast(BinaryIO, member))


def _skip_to_end(archive: tarfile.TarFile, info: tarfile.TarInfo, metered: _Metered) -> None:
    """Read past the member, so that what follows counts as headers."""
    stream = cast(Any, archive.fileobj)
    size = info.size if info.isreg() else 0
    end = info.offset_data + -(-size // 512) * 512
    if end > stream.tell():
        stream.seek(end)
    metered.headers = 0


def _tar_name(info: tarfile.TarInfo) -> str:
    return info.name.removeprefix("./")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "sparse file"
    if info.isreg():
        return "file"
    if info.issym() or info.islnk():
        return "link"
    return "device or pipe"
