"""Keeps the blobs of a node without the console's disk below a limit: the longest unused go first.

What is linked into a running attempt stays, for removing it would free nothing.
"""

import contextlib
import threading
import time
from pathlib import Path

from django.conf import settings

#: A partial download that nobody has gone on with for so long is given up.
STALE_S = 24 * 3600
_lock = threading.Lock()
_unseen: dict[Path, int] = {}


def added(root: Path, size: int, *, keep: Path | None = None) -> None:
    """A blob came in. Now and then (a twentieth of the limit), the oldest make room."""
    limit = settings.CACHE_MIB << 20
    with _lock:
        _unseen[root] = _unseen.get(root, limit) + size
        if _unseen[root] < limit / 20:
            return
        _unseen[root] = 0
        bound(root, limit, keep=keep)


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
