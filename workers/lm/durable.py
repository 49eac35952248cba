"""Files and folders that are whole or absent: write aside, flush to disk, then rename."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20


def flush_file(path: Path) -> None:
    """Force a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Force every file of a folder, then the folders' own entries, to the disk.

    Also gives the files one mode: some libraries leave theirs to the owner alone.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o644)
        flush_file(path)
    flush_file(folder)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def folder_published(target: Path) -> Iterator[Path]:
    """Yield a private folder beside `target`; on success it becomes `target` in one rename.

    A target that is an empty folder is replaced, one that holds anything must not exist.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f"{target.name}.tmp-{uuid.uuid4().hex[:8]}"
    aside.mkdir()
    try:
        yield aside
        flush_tree(aside)
        aside.rename(target)
        flush_file(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that nobody ever sees half of it under its own name."""
    aside = folder.parent / f"{folder.name}.tmp-{uuid.uuid4().hex[:8]}"
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
