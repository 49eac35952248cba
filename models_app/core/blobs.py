"""Content-addressed files: `<data>/blobs/ab/cd/<sha256>`, written once, never changed.

A tree is a manifest `{path: {"sha256", "size"}}`; it is what datasets and model versions keep.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core.errors import SlipwayError

CHUNK = 1 << 20
Manifest = dict[str, dict[str, Any]]


class BlobMissing(SlipwayError):
    """A stored file is missing or damaged."""

    status = 500
    code = "blob_missing"


def blob_root() -> Path:
    return Path(settings.DATA_DIR) / "blobs"


def blob_path(sha256: str) -> Path:
    """Where the blob lies; it may not exist."""
    return blob_root() / sha256[:2] / sha256[2:4] / sha256


class BlobWriter:
    """Takes bytes as they come; `publish` files them under their digest, `discard` drops them."""

    def __init__(self) -> None:
        root = blob_root()
        root.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.NamedTemporaryFile(dir=root, prefix=".put-", delete=False)  # noqa: SIM115
        self._digest, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        self._file.write(data)

    def publish(self) -> tuple[str, int]:
        """Make the bytes durable and visible; returns (sha256, size)."""
        sha256 = self._digest.hexdigest()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _publish(Path(self._file.name), blob_path(sha256))
        return sha256, self.size

    def discard(self) -> None:
        """Drop what was written; harmless after `publish`."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def blob_put(stream: BinaryIO) -> tuple[str, int]:
    """Store what `stream` holds; returns (sha256, size). Idempotent, atomic, bounded memory."""
    writer = BlobWriter()
    try:
        while chunk := stream.read(CHUNK):
            writer.write(chunk)
        return writer.publish()
    finally:
        writer.discard()


def blob_put_file(path: Path) -> tuple[str, int]:
    """Store a file by content."""
    with path.open("rb") as stream:
        return blob_put(stream)


def blob_open(sha256: str) -> BinaryIO:
    """Open for reading, or BlobMissing."""
    try:
        return blob_path(sha256).open("rb")
    except FileNotFoundError:
        said = _("The stored file %(digest)s is missing.") % {"digest": sha256[:12]}
        raise BlobMissing(said, sha256=sha256) from None


def tree_put(folder: Path) -> Manifest:
    """Store every regular file under `folder`; links and special files are refused."""
    manifest: Manifest = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            said = _("%(name)s is a link or a special file; only plain files are kept.")
            raise SlipwayError(said % {"name": path.name})
        if path.is_file():
            sha256, size = blob_put_file(path)
            manifest[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
    return manifest


def tree_materialise(manifest: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Lay a tree out as read-only files under `folder` (hard links where the disk allows)."""
    for name, entry in manifest.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise SlipwayError(_("The path %(name)r leaves its tree.") % {"name": name})
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        source = blob_path(entry["sha256"])
        if not source.exists() or source.stat().st_size != entry["size"]:
            said = _("The stored file of %(name)s is missing or damaged.") % {"name": name}
            raise BlobMissing(said, path=name)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    return folder


def _publish(temporary: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        temporary.unlink()
        return
    temporary.chmod(0o444)
    temporary.replace(final)
    fd = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
