"""Makes the picture of the store: what lies there, who names it, what that adds up to.

First the store is listed, then the database is asked who names what: a row that comes to name a
file later has renewed it. Everything happens in temporary tables, a million files need no memory.
"""

import datetime as dt
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import F

from models_app.core import storage
from models_app.core.clock import now
from models_app.core.permission import team_id_of
from models_app.core.storage.contract import Home
from models_app.core.storage.errors import BlobMissing
from models_app.storage import inventory_sql as sql
from models_app.storage.models import Holder, StoredFile, StoreReport
from models_app.storage.references import naming_fill

#: For so long nobody must have named a file, or stored it, before it is removed.
GRACE = dt.timedelta(days=1)
BATCH = 5000
#: A holder that names nothing any more is remembered for so long, to say what a file was.
REMEMBERED = dt.timedelta(days=30)
#: Identifies the lock of the inventory among the database's advisory locks.
LOCK = 0x5B10C
#: The most that is listed by name in a report.
LISTED = 50


def inventory_refresh(home: Home | None = None) -> StoreReport | None:
    """Look at everything now; None on a node that does not see the store."""
    home = home or storage.home()
    if home is None:
        return None
    begun = time.monotonic()
    with transaction.atomic():
        _begin()
        _list(home)
        naming_fill()
        with connection.cursor() as cursor:
            for statement in sql.BEFORE_HOLDERS:
                cursor.execute(statement)
        _name_holders()
        with connection.cursor() as cursor:
            for statement in sql.MERGE:
                cursor.execute(statement)
        missing = _missing(home)
        Holder.objects.filter(gone_at__lt=now() - REMEMBERED).delete()
        report = _report(home, missing, begun)
    _thin_out()
    return report


def _begin() -> None:
    """One look at a time, which may take its time; nothing is left of an earlier one."""
    with connection.cursor() as cursor:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET LOCAL {name} = '30min'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SET LOCAL client_min_messages = warning")
        for table in ("seen", "naming", "missing", "named", "naming_of"):
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{table}")


def _list(home: Home) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SEEN)
        for some in batched_files(home):
            cursor.execute(sql.SEEN_FILL, [list(column) for column in zip(*some, strict=True)])
        cursor.execute("ANALYZE seen")


def batched_files(home: Home) -> Iterator[tuple[tuple[str, int, float], ...]]:
    """What lies in the store, some thousands at a time."""
    rows = ((one.sha256, one.size, one.renewed_at) for one in home.each())
    while some := tuple(islice(rows, BATCH)):
        yield some


def _name_holders() -> None:
    """Words and teams of holders that were not known yet; each is loaded once in its life."""
    with connection.cursor() as cursor:
        cursor.execute(sql.NEW_HOLDERS)
        found: list[tuple[str, int]] = cursor.fetchall()
    by_kind: dict[str, list[int]] = {}
    for kind, number in found:
        by_kind.setdefault(kind, []).append(number)
    for kind, numbers in by_kind.items():
        model = apps.get_model(kind)
        known = model._base_manager.in_bulk(numbers) if numbers != [0] else {}
        rows = [_holder(kind, number, known.get(number)) for number in numbers]
        Holder.objects.bulk_create(rows, BATCH)


def _holder(kind: str, number: int, obj: Any) -> Holder:
    team = None if obj is None else team_id_of(obj)
    label = "" if obj is None else str(obj)[:200]
    return Holder(kind=kind, object_id=number, team_id=team, label=label)


def _missing(home: Home) -> list[dict[str, Any]]:
    """What is named by a holder and really not there: the list may be older than the row."""
    with connection.cursor() as cursor:
        cursor.execute(sql.MISSING, [LISTED])
        found = cursor.fetchall()
    return [
        {"file": sha256[:12], "holders": holders}
        for sha256, holders in found
        if not _is_there(home, sha256)
    ]


def _is_there(home: Home, sha256: str) -> bool:
    try:
        with home.read(sha256):
            return True
    except BlobMissing:
        return False


def _report(home: Home, missing: list[dict[str, Any]], begun: float) -> StoreReport:
    free = home.free()
    left = [one.size for one in home.leftovers(home.now() - GRACE.total_seconds()) if one.size]
    with connection.cursor() as cursor:
        cursor.execute(sql.TOTALS)
        files, size, garbage_files, garbage = cursor.fetchone()
        cursor.execute(sql.BY_KIND)
        names = ("files", "bytes", "share_bytes", "own_bytes")
        by_kind = {kind: dict(zip(names, values, strict=False)) for kind, *values in cursor}
        cursor.execute(sql.BY_TEAM)
        by_team = {team: dict(zip(names, values, strict=False)) for team, *values in cursor}
    return StoreReport.objects.create(
        took_s=time.monotonic() - begun,
        home=home.kind,
        place=home.place,
        files=files,
        bytes=size,
        logical_bytes=sum(part["bytes"] for part in by_kind.values()),
        garbage_files=garbage_files,
        garbage_bytes=garbage,
        leftover_files=len(left),
        leftover_bytes=sum(left),
        free_bytes=free[0] if free else None,
        total_bytes=free[1] if free else None,
        missing=missing,
        by_kind=by_kind,
        by_team=by_team,
    )


def _thin_out() -> None:
    """Of days that are over, one report is enough."""
    old = StoreReport.objects.filter(at__lt=now() - dt.timedelta(days=1))
    kept = old.order_by("at__date", "-at").distinct("at__date").values("pk")
    old.exclude(pk__in=kept).delete()


def inventory_is_due() -> bool:
    """Whether the last picture is old, seen by what it costs to make one."""
    last = StoreReport.objects.order_by("-pk").first()
    return last is None or now() - last.at > dt.timedelta(seconds=max(60.0, 20 * last.took_s))


def garbage(*, before: dt.datetime) -> Any:
    """Files that nobody has named, stored or relied on since `before`, by the last picture."""
    return StoredFile.objects.filter(
        unnamed_since__lt=before, renewed_at__lt=before, damaged_at=None
    ).order_by(F("unnamed_since"), "sha256")
