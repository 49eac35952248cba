"""Folders on this machine: plain ones, and snapshots in a cache of the Hugging Face Hub.

A snapshot is a folder of links into the `blobs` beside it. Those are followed, and no others: every
file is opened without following its last link, and where it then lies is asked of the kernel.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from workers.importing.errors import ImportRefused
from workers.importing.intake import Intake


def take_folder(intake: Intake, root: Path, *, blobs: Path | None = None) -> None:
    """Take every file under `root`; links only where they lead into `blobs`."""
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise ImportRefused("path", "The folder is no longer there. Import it again.")
    inside = Path(os.path.realpath(blobs)) if blobs else None
    sizes = (path.stat().st_size for path, _name in _walk(root) if path.is_file())
    intake.total = sum(size for size, _n in zip(sizes, range(intake.limits.files), strict=False))
    for path, name in _walk(root):
        kind = _kind(path, inside)
        if not intake.wants(name, kind):
            if intake.gate.full:
                return
            continue
        try:
            with _open(path, root, inside) as file:
                facts = os.fstat(file.fileno())
                stamp = f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"
                intake.take(name, stamp, file)
        except _Moved as error:
            intake.report.add("files.link", name, str(error))
        except FileNotFoundError:
            said = f"{name} is no longer there. Import it again."
            raise ImportRefused("path", said) from None
        except PermissionError:
            said = f"{name} may not be read by Slipway. Change its permissions."
            raise ImportRefused("path", said) from None


class _Moved(Exception):
    """A file turned out to lie elsewhere than its name says."""


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*files, *linked]):
            path = here / name
            yield path, path.relative_to(root).as_posix()


def _kind(path: Path, blobs: Path | None) -> str:
    """`file`, or what it is instead."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        if blobs is None:
            return "link"
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(blobs):
            return "link out of the cache"
        if not target.exists():
            return "link to a file that is missing"
        mode = target.lstat().st_mode
    if stat.S_ISREG(mode):
        return "file"
    for test, word in (
        (stat.S_ISDIR, "link to a folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "block device"), (stat.S_ISCHR, "character device"),
    ):  # fmt: skip
        if test(mode):
            return word
    return "special file"


def _open(path: Path, root: Path, blobs: Path | None) -> BinaryIO:
    """Open what `path` names at this moment, and make sure that it lies where it may."""
    target = Path(os.path.realpath(path)) if blobs else path
    try:
        number = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise _Moved("It became a link while it was read.") from None
    file = os.fdopen(number, "rb")
    real = Path(os.path.realpath(f"/proc/self/fd/{number}"))
    may = real.is_relative_to(root) or (blobs is not None and real.is_relative_to(blobs))
    if not may or not stat.S_ISREG(os.fstat(number).st_mode):
        file.close()
        raise _Moved("It leads out of the folder.")
    return file
