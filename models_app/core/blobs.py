"""Content-addressed files: `<data>/blobs/ab/cd/<sha256>`, written once, never changed.

A tree is a manifest `{path: {"sha256", "size"}}`; it is what datasets and model versions keep.

Where files lie elsewhere (in a bucket, `BLOB_URL`, or with the console of a joined node,
`STORE_URL`) this folder is a bounded cache: what is missing is fetched and checked, and what is put
is durable there before anybody hears of it.
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

from models_app.core import blob_cache, storage
from models_app.core.errors import SlipwayError
from models_app.core.storage import fetching
from models_app.core.storage.contract import CHUNK, Origin
from models_app.core.storage.errors import BlobMissing, StoreFull

Manifest = dict[str, dict[str, Any]]
#: Below the folder of all: files whose bytes are not what their names say.
ASIDE = ".damaged"
__all__ = ["CHUNK", "BlobMissing"]


class NotThatFile(Exception):
    """The bytes have another digest: `found`."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


def blob_root() -> Path:
    return Path(settings.DATA_DIR) / "blobs"


def blob_path(sha256: str) -> Path:
    """Where the blob lies; it may not exist."""
    return blob_root() / sha256[:2] / sha256[2:4] / sha256


class BlobWriter:
    """Takes bytes as they come; `publish` files them under their digest, `discard` drops them."""

    def __init__(self) -> None:
        with _room():
            self._file = _temporary()
        self._digest, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """Take some bytes. Raises StoreFull."""
        self._digest.update(data)
        self.size += len(data)
        with _room():
            self._file.write(data)

    def publish(self) -> tuple[str, int]:
        """Make the bytes durable and visible; returns (sha256, size).

        Raises StoreFull, or StoreUnavailable where they have to go elsewhere.
        """
        sha256 = self._digest.hexdigest()
        with _room():
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        _keep(Path(self._file.name), sha256, self.size)
        return sha256, self.size

    @property
    def sha256(self) -> str:
        """Digest of what was written so far."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Drop what was written; harmless after `publish`."""
        with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
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


def blob_take(path: Path, sha256: str = "") -> tuple[str, int]:
    """Make a file of this disk a blob by moving it; returns (sha256, size).

    Raises NotThatFile when its digest is not the one that is named; StoreUnavailable.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        os.fsync(file.fileno())
    if sha256 and found != sha256:
        raise NotThatFile(found)
    blob_root().mkdir(parents=True, exist_ok=True)
    _keep(path, found, size)
    return found, size


def blob_open(sha256: str) -> BinaryIO:
    """Open for reading. Raises BlobMissing, or StoreUnavailable where files lie elsewhere."""
    try:
        return blob_path(sha256).open("rb")
    except FileNotFoundError:
        if behind := storage.origin():
            return _fetched(behind, sha256).open("rb")
        raise _absent(sha256) from None


def blob_size(sha256: str) -> int:
    """How long it is, wherever it lies. Raises BlobMissing, StoreUnavailable."""
    behind = storage.origin()
    if behind is None or blob_path(sha256).exists():
        try:
            return blob_path(sha256).stat().st_size
        except FileNotFoundError:
            raise _absent(sha256) from None
    size = behind.size(sha256)
    if size is None:
        raise fetching.missing(sha256)
    return size


def blobs_here(limit: int) -> list[str]:
    """Digests of the files on this disk, the last used first, at most so many."""
    found = []
    for path in blob_root().glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_atime, path.name))
    return [name for _used, name in sorted(found, reverse=True)[:limit]]


def blob_renew(sha256: str) -> bool:
    """Whether the blob is there; if so it counts as new, and is not collected for a while."""
    if behind := storage.origin():
        return behind.renew(sha256) is not None
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
    """Give the origin every file under `folder`, without a copy in this node's cache."""
    manifest: Manifest = {}
    behind = storage.origin()
    for path in _files(folder):
        sha256, size = _digest(path)
        if behind:
            behind.push(path, sha256, size)
        manifest[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
    return manifest


def tree_adopt(folder: Path) -> Manifest:
    """Make every file under `folder` a blob where it lies: files that never change are linked."""
    if storage.origin():
        return tree_send(folder)
    manifest: Manifest = {}
    for path in _files(folder):
        sha256, size = _digest(path)
        manifest[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
        if not blob_renew(sha256):
            _link(path, blob_path(sha256))
    return manifest


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()


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
    behind = storage.origin()
    for _round in range(3):
        source = blob_path(entry["sha256"])
        if behind and not _is_whole(source, entry):
            source.unlink(missing_ok=True)
            source = _fetched(behind, entry["sha256"])
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


def _fetched(behind: Origin, sha256: str) -> Path:
    path = blob_path(sha256)
    blob_cache.prepare(blob_root())
    fetching.fetch(behind, sha256, path)
    blob_cache.added(blob_root(), path.stat().st_size, keep=path)
    return path


def _absent(sha256: str) -> BlobMissing:
    if (blob_root() / ASIDE / sha256).exists():
        return fetching.damaged(sha256)
    return fetching.missing(sha256)


def _keep(temporary: Path, sha256: str, size: int) -> None:
    """File what is written and durable; where it has to go elsewhere, only after it is there."""
    behind = storage.origin()
    if behind:
        behind.push(temporary, sha256, size)
        blob_cache.prepare(blob_root())
    _publish(temporary, blob_path(sha256))
    if behind:
        blob_cache.added(blob_root(), size)


def _temporary() -> Any:
    root = blob_root()
    root.mkdir(parents=True, exist_ok=True)
    return tempfile.NamedTemporaryFile(dir=root, prefix=".put-", delete=False)


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """A full disk is anticipated, and said so."""
    try:
        yield
    except OSError as error:
        if fetching.is_full(error):
            raise StoreFull from error
        raise


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
