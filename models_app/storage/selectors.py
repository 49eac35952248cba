"""Reads the picture of the store; for platform admins."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet, Sum

from models_app.core.actor import Actor
from models_app.core.clock import now
from models_app.core.errors import NotFound
from models_app.core.permission import require
from models_app.storage.inventory import GRACE
from models_app.storage.models import Holder, StoredFile, StoreReport, StoreRun, Upload

VIEW = "storage.view_store"


@dataclass(frozen=True)
class Garbage:
    """A file that nobody names: what it was, since when, and until when it is kept."""

    file: StoredFile
    last_named_by: list[str]
    since: dt.datetime
    grace_ends: dt.datetime

    @property
    def is_due(self) -> bool:
        """Whether the next collection removes it."""
        return self.grace_ends <= now()


def report_newest(*, actor: Actor) -> StoreReport | None:
    """The last picture; None before the first."""
    require(actor, VIEW)
    return StoreReport.objects.first()


def report_list(*, actor: Actor) -> QuerySet[StoreReport]:
    """Newest first: many of today, one of each day before."""
    require(actor, VIEW)
    return StoreReport.objects.all()


def file_list(*, actor: Actor, of: str = "") -> QuerySet[StoredFile]:
    """Stored files; `of`: garbage or damaged."""
    require(actor, VIEW)
    rows = StoredFile.objects.order_by("-id")
    if of == "garbage":
        return rows.filter(unnamed_since__isnull=False, damaged_at=None)
    return rows.filter(damaged_at__isnull=False) if of == "damaged" else rows


def file_get(*, actor: Actor, sha256: str) -> StoredFile:
    """One file, or NotFound."""
    require(actor, VIEW)
    row = StoredFile.objects.filter(sha256=sha256).first()
    if row is None:
        raise NotFound
    return row


def holder_list(*, actor: Actor) -> QuerySet[Holder]:
    """Who holds files, the largest first."""
    require(actor, VIEW)
    return Holder.objects.filter(files__gt=0).select_related("team").order_by("-bytes", "-id")


def garbage_of(files: Any) -> list[Garbage]:
    """What is to say of these files that nobody names."""
    rows = list(files)
    known = Holder.objects.in_bulk({number for row in rows for number in row.named_by})
    return [
        Garbage(
            file=row,
            last_named_by=[str(known[n]) for n in row.named_by if n in known],
            since=row.unnamed_since,
            grace_ends=max(row.unnamed_since, row.renewed_at) + GRACE,
        )
        for row in rows
    ]


def garbage_due(*, actor: Actor) -> dict[str, int]:
    """How much the next collection removes."""
    require(actor, VIEW)
    before = now() - GRACE
    rows = StoredFile.objects.filter(
        unnamed_since__lt=before, renewed_at__lt=before, damaged_at=None
    )
    found = rows.aggregate(files=Count("*"), bytes=Sum("size"))
    return {"files": found["files"], "bytes": found["bytes"] or 0}


def run_list(*, actor: Actor) -> QuerySet[StoreRun]:
    """Runs over the store, newest first."""
    require(actor, VIEW)
    return StoreRun.objects.select_related("created_by").order_by("-id")


def run_get(*, actor: Actor, run_id: int) -> StoreRun:
    """One run, or NotFound."""
    row = run_list(actor=actor).filter(pk=run_id).first()
    if row is None:
        raise NotFound
    return row


def checked(*, actor: Actor) -> dict[str, Any]:
    """How much of the store was read and compared, and since when at least."""
    require(actor, VIEW)
    rows = StoredFile.objects.filter(damaged_at=None)
    read = rows.filter(verified_at__isnull=False).order_by("verified_at")
    total = rows.aggregate(files=Count("*"), bytes=Sum("size"))
    done = read.aggregate(files=Count("*"), bytes=Sum("size"))
    first, last = read.first(), read.last()
    return {
        "files": done["files"],
        "bytes": done["bytes"] or 0,
        "files_total": total["files"],
        "bytes_total": total["bytes"] or 0,
        "oldest_at": first.verified_at if first else None,
        "newest_at": last.verified_at if last else None,
        "damaged": StoredFile.objects.filter(damaged_at__isnull=False).count(),
    }


def upload_list(*, actor: Actor) -> QuerySet[Upload]:
    """Uploads of the actor's teams."""
    return Upload.objects.visible_to(actor).select_related("team").order_by("-id")


def upload_get(*, actor: Actor, key: Any) -> Upload:
    """One upload, or NotFound."""
    return Upload.objects.get_visible(actor, key=key)
