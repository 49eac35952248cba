"""Content-addressed files: `<data>/blobs/ab/cd/<sha256>`, written once, never changed.

A tree is a manifest `{path: {"sha256", "size"}}`; it is what datasets and model versions keep.

On a node without the console's disk (`STORE_URL`) this folder is a bounded cache: what is missing
is fetched, and what is put is given to the console before anybody hears of it.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core import blob_cache, store
from models_app.core.errors import SlipwayError
from models_app.core.store import CHUNK, BlobMissing

Manifest = dict[str, dict[str, Any]]
__all__ = ["CHUNK", "BlobMissing"]


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
        if store.is_remote():
            store.push(blob_path(sha256), sha256, self.size)
            blob_cache.added(blob_root(), self.size)
        return sha256, self.size

    @property
    def sha256(self) -> str:
        """Digest of what was written so far."""
        return self._digest.hexdigest()

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
        if store.is_remote():
            return _fetched(sha256).open("rb")
        said = _("The stored file %(digest)s is missing.") % {"digest": sha256[:12]}
        raise BlobMissing(said, sha256=sha256) from None


def blob_renew(sha256: str) -> bool:
    """Whether the blob is there; if so it counts as new, and is not collected for a while."""
    with blob_lock(shared=True):
        path = blob_path(sha256)
        return path.exists() and _touch(path)


@contextlib.contextmanager
def blob_lock(*, shared: bool) -> Iterator[None]:
    """Held by whoever finds that a blob is there already (shared), or removes one (alone)."""
    with (blob_root().parent / ".blobs.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def tree_put(folder: Path) -> Manifest:
    """Store every regular file under `folder`; links and special files are refused."""
    manifest: Manifest = {}
    for path in _files(folder):
        sha256, size = blob_put_file(path)
        manifest[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
    return manifest


def tree_send(folder: Path) -> Manifest:
    """Give the console every file under `folder`, without a copy in this node's cache."""
    manifest: Manifest = {}
    for path in _files(folder):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = path.stat().st_size
        store.push(path, sha256, size)
        manifest[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
    return manifest


def tree_adopt(folder: Path) -> Manifest:
    """Make every file under `folder` a blob where it lies: files that never change are linked."""
    manifest: Manifest = {}
    for path in _files(folder):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        manifest[path.relative_to(folder).as_posix()] = {
            "sha256": sha256, "size": path.stat().st_size,
        }  # fmt: skip
        if not blob_renew(sha256):
            _link(path, blob_path(sha256))
    return manifest


def _link(path: Path, final: Path) -> None:
    """File a copy under its digest that costs no space, or a real one where links cannot be."""
    blob_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=blob_root(), prefix=".put-") as folder:
        temporary = Path(folder) / "file"
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        _publish(temporary, final)


def tree_materialise(manifest: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Lay a tree out as read-only files under `folder` (hard links where the disk allows)."""
    for name, entry in manifest.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise SlipwayError(_("The path %(name)r leaves its tree.") % {"name": name})
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _lay(name, entry, target)
    return folder


def tree_verify(manifest: Mapping[str, Mapping[str, Any]], folder: Path) -> Path:
    """Read every file of a tree that was laid out: to the last bit what its digest says, or
    BlobMissing."""
    for name, entry in manifest.items():
        digest = hashlib.sha256()
        with (folder / name).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != entry["sha256"]:
            raise BlobMissing(_damaged(name), path=name)
    return folder


def _damaged(name: str) -> str:
    return _("The stored file of %(name)s is missing or damaged.") % {"name": name}


def _lay(name: str, entry: Mapping[str, Any], target: Path) -> None:
    for _round in range(3):
        source = blob_path(entry["sha256"])
        if not _is_whole(source, entry) and store.is_remote():
            source.unlink(missing_ok=True)
            source = _fetched(entry["sha256"])
        if not _is_whole(source, entry):
            break
        try:
            os.link(source, target)
        except FileNotFoundError:
            continue  # it had to make room in the cache at this very moment
        except OSError:
            shutil.copyfile(source, target)
        return
    raise BlobMissing(_damaged(name), path=name)


def _is_whole(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.exists() and path.stat().st_size == entry["size"]


def _fetched(sha256: str) -> Path:
    path = blob_path(sha256)
    store.fetch(sha256, path)
    blob_cache.added(blob_root(), path.stat().st_size, keep=path)
    return path


def _files(folder: Path) -> Iterator[Path]:
    """Every file under a folder in a fixed order; anything but plain files is refused."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            said = _("%(name)s is a link or a special file; only plain files are kept.")
            raise SlipwayError(said % {"name": path.name})
        if path.is_file():
            yield path


def _publish(temporary: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o444)
    with blob_lock(shared=True):
        if final.exists() and _touch(final):
            temporary.unlink()
            return
        _touch(temporary)
        temporary.replace(final)
    fd = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _touch(path: Path) -> bool:
    """Give a blob the present as time of access; False where it is not ours to change."""
    try:
        os.utime(path, (time.time(), path.stat().st_mtime))
    except PermissionError:
        return False
    return True
