"""Zip archives, read member by member."""

import stat
import zipfile
from typing import BinaryIO, cast

from workers.importing.budget import Counted, allowance
from workers.importing.bundle import NAME, NOTHING, listing_of
from workers.importing.intake import Intake
from workers.scanning.limits import MIB

#: The directory of a zip is read into memory by the library.
MOST_DIRECTORY = 16 * MIB


def take_zip(intake: Intake, file: BinaryIO, stamp: str, budget: int) -> None:
    """Take every file; a zip that calls itself a bundle is refused."""
    _check_directory(file)
    allow = allowance(budget)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name, kind = _zip_name(info), _zip_kind(info)
            if kind == "folder":
                continue
            if name == NAME:
                listing_of(intake, NOTHING, None, 0, first=False)
                return
            if not intake.wants(name, kind):
                if intake.gate.full:
                    return
                continue
            if info.flag_bits & 1:
                intake.report.add("files.archive", name, "It is encrypted.")
                continue
            with archive.open(info) as member:
                counted = cast(BinaryIO, Counted(member, allow))
                intake.take(name, f"{stamp}-{info.header_offset}", counted)


def _check_directory(file: BinaryIO) -> None:
    """Refuse a zip whose directory would fill memory, before the library reads it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("its end is missing")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if length == 0xFFFFFFFF and wide >= 0:
        length = int.from_bytes(tail[wide + 40 : wide + 48], "little")
    if length > MOST_DIRECTORY:
        raise zipfile.BadZipFile(f"its directory has {length:,} bytes")
    file.seek(0)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name as it stands in the file: the library cuts it at a zero byte."""
    return str(getattr(info, "orig_filename", info.filename))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if info.filename.endswith("/") or stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if not stat.S_IFMT(mode) or stat.S_ISREG(mode) else "special file"
