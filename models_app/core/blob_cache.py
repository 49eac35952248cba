"""Keeps copies of blobs that lie elsewhere below a limit: the longest unused go first.

What is linked into a running attempt stays, for removing it would free nothing. In front of a
bucket nothing is removed before the folder is known to hold copies only: files of an installation
that is about to move there are no copies yet.
"""

import contextlib
import threading
import time
import uuid
from pathlib import Path

from django.conf import settings

#: A partial download that nobody has gone on with for so long is given up.
STALE_S = 24 * 3600
#: Says whose copies lie in a folder.
_MARK = ".cache-of"
_lock = threading.Lock()
_unseen: dict[Path, int] = {}
_claimed: dict[Path, str] = {}


def added(root: Path, size: int, *, keep: Path | None = None) -> None:
    """A blob came in. Now and then (a twentieth of the limit), the oldest make room."""
    limit = settings.CACHE_MIB << 20
    if not prepare(root):
        return
    with _lock:
        _unseen[root] = _unseen.get(root, limit) + size
        if _unseen[root] < limit / 20:
            return
        _unseen[root] = 0
        bound(root, limit, keep=keep)


def prepare(root: Path) -> bool:
    """Before anything comes in: whether copies may be removed from this folder again."""
    if settings.STORE_URL or _claimed.get(root) == settings.BLOB_URL:
        return True
    if not claim(root, settings.BLOB_URL):
        return False
    _claimed[root] = settings.BLOB_URL
    return True


def cache_of(root: Path) -> str:
    """The bucket of whose files copies lie here; empty: these are no copies."""
    try:
        return (root / _MARK).read_text()
    except FileNotFoundError:
        return ""


def claim(root: Path, url: str, *, sure: bool = False) -> bool:
    """Whether the folder holds copies from `url` only; an empty one does so from now on."""
    if cache_of(root) == url:
        return True
    if not (sure or may_claim(root, url)):
        return False
    root.mkdir(parents=True, exist_ok=True)
    # Many may claim at once: a shared name would be gone under the slower one.
    temporary = root / f".put-{_MARK}-{uuid.uuid4().hex[:8]}"
    temporary.write_text(url)
    temporary.replace(root / _MARK)
    return True


def may_claim(root: Path, url: str) -> bool:
    """Whether nothing lies here that is no copy from there."""
    return cache_of(root) == url or next(root.glob("??/??/*"), None) is None


def release(root: Path) -> None:
    """What lies here is no copy any more."""
    (root / _MARK).unlink(missing_ok=True)


def bound(root: Path, limit: int, *, keep: Path | None = None) -> int:
    """Remove the longest unused blobs until no more than `limit` bytes lie there; how many went."""
    _clear_partials(root)
    found, total = [], 0
    for path in root.glob("??/??/*"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            total += facts.st_size
            if facts.st_nlink == 1 and path != keep:
                found.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    removed = 0
    for _, size, path in sorted(found):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size
        removed += 1
    return removed


def _clear_partials(root: Path) -> None:
    for path in [*root.glob(".get-*"), *root.glob(".put-*")]:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - STALE_S:
                path.unlink()
