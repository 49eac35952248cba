"""Removes stored files that nobody names, and what killed writers left.

A file goes when nobody has named it, stored it or relied on it for the whole `grace`. What nobody
names is found by looking at the whole database right before; that nobody has stored it again since
is asked once more, alone, as it goes (`Home.remove`).
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from models_app.core import storage
from models_app.core.clock import now
from models_app.core.storage.contract import Home
from models_app.storage.inventory import GRACE, garbage, inventory_refresh
from models_app.storage.models import StoredFile

#: Rows of the picture that are forgotten together.
BATCH = 500


@dataclass
class Collected:
    """What went."""

    files: int = 0
    bytes: int = 0
    leftovers: int = 0


def blobs_collect(
    *, grace: dt.timedelta = GRACE, say: Callable[[Collected], None] = lambda done: None
) -> Collected:
    """Remove what may go now; nothing on a node that does not see the store.

    `say` hears how far it is, now and then.
    """
    done, home = Collected(), storage.home()
    if home is None:
        return done
    before = home.now() - grace.total_seconds()
    inventory_refresh(home)
    _remove(home, before, now() - grace, done, say)
    for leftover in home.leftovers(before):
        home.clear(leftover)
        done.leftovers += bool(leftover.size)
    return done


def _remove(
    home: Home,
    before: float,
    unnamed: dt.datetime,
    done: Collected,
    say: Callable[[Collected], None],
) -> None:
    gone: list[str] = []
    for sha256 in garbage(before=unnamed).values_list("sha256", flat=True).iterator():
        size = home.remove(sha256, before)
        if size is None:
            continue
        done.files += 1
        done.bytes += size
        gone.append(sha256)
        if len(gone) >= BATCH:
            _forget(gone)
            say(done)
    _forget(gone)


def _forget(gone: list[str]) -> None:
    StoredFile.objects.filter(sha256__in=gone, damaged_at=None).delete()
    gone.clear()
