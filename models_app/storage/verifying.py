"""Reads stored files and compares their digests, those of the longest ago first."""

import datetime as dt
import hashlib
import time
from collections.abc import Callable

from django.db.models import F, Q, QuerySet

from models_app.audit.services import audit_record
from models_app.core import storage
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.storage.contract import Home
from models_app.core.storage.errors import BlobMissing
from models_app.storage.models import StoredFile, StoreRun
from models_app.storage.references import references_of

#: The most that is read of one file before somebody hears of it.
SAY_EVERY_S = 5.0


def unverified(run: StoreRun) -> QuerySet[StoredFile]:
    """What this run has not looked at yet, in the order in which it will."""
    rows = StoredFile.objects.filter(damaged_at=None)
    rows = rows.filter(Q(verified_at=None) | Q(verified_at__lt=run.created_at))
    return rows.order_by(F("verified_at").asc(nulls_first=True), "sha256")


def verify_slice(run: StoreRun, *, seconds: float, say: Callable[[], None]) -> bool:
    """Check files for about so long; whether the run is through. Raises StoreUnavailable.

    Figures and findings go into `run`, which is not saved here.
    """
    home = storage.home()
    if home is None:
        return True
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        left = None if run.sample is None else run.sample - run.files
        row = unverified(run).first() if left is None or left > 0 else None
        if row is None:
            return True
        _verify(home, run, row, say)
    return False


def _verify(home: Home, run: StoreRun, row: StoredFile, say: Callable[[], None]) -> None:
    try:
        whole = _is_whole(home, row.sha256, say) or _is_whole(home, row.sha256, say)
    except BlobMissing:  # collected meanwhile; the inventory tells what should be there
        StoredFile.objects.filter(pk=row.pk).delete()
        return
    run.files += 1
    run.bytes += row.size
    at: dt.datetime = now()
    if whole:
        StoredFile.objects.filter(pk=row.pk).update(verified_at=at)
        return
    home.set_aside(row.sha256)
    row.damaged_at = row.verified_at = at
    row.save(update_fields=["damaged_at", "verified_at"])
    holders = [f"{each._meta.verbose_name} {each}" for each in references_of(row.sha256)]
    finding = {"file": str(row), "size": row.size, "holders": holders[:20]}
    run.damaged = [*run.damaged, finding]
    audit_record(actor=SYSTEM, action="stored_file.damaged", obj=row, changes=finding)


def _is_whole(home: Home, sha256: str, say: Callable[[], None]) -> bool:
    digest, told = hashlib.sha256(), time.monotonic()
    with home.read(sha256) as part:
        for chunk in part.chunks:
            digest.update(chunk)
            if time.monotonic() - told > SAY_EVERY_S:
                told = time.monotonic()
                say()
    return digest.hexdigest() == sha256
