"""Removes stored files that nothing names any more.

A file is kept while its digest stands anywhere in the database: in any JSON column, and in any text
column that is named after a digest. So a new kind of thing that keeps files needs no line here, and
what was forgotten costs space, never data.

A file that was just stored is not named yet: it is safe for `grace`. Storing a file again that is
there already makes it new (`blobs.blob_renew`), so the question "is it old?" is asked once more,
alone, right before it goes.
"""

import datetime as dt
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.db import connection, models
from django.db.models import Model

from models_app.core import store
from models_app.core.blobs import blob_lock, blob_root

GRACE = dt.timedelta(days=1)
_BLOB = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.(put|get)-.*")
_PAGE = 5000


def blobs_collect(*, grace: dt.timedelta = GRACE) -> int:
    """Remove what is old and named nowhere; how many files went. Does nothing without the disk."""
    if store.is_remote() or not blob_root().exists():
        return 0
    before = time.time() - grace.total_seconds()
    # In this order: a row that comes to name one of these later has renewed it first.
    old = {path.name: path for path in _old(before)}
    _clear_temporary(before)
    if not old:
        return 0
    for sha256 in _named():
        old.pop(sha256, None)
    return sum(_remove(path, before) for path in old.values())


def _old(before: float) -> Iterator[Path]:
    for path in blob_root().glob("??/??/*"):
        if _BLOB.fullmatch(path.name) and _is_old(path, before):
            yield path


def _is_old(path: Path, before: float) -> bool:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return False
    return max(facts.st_atime, facts.st_mtime) < before


def _remove(path: Path, before: float) -> bool:
    with blob_lock(shared=False):
        if not _is_old(path, before):
            return False
        path.unlink(missing_ok=True)
        return True


def _clear_temporary(before: float) -> None:
    """What writers left behind that were killed."""
    for path in blob_root().glob(".*"):
        if _TEMPORARY.fullmatch(path.name) and _is_old(path, before):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _named() -> Iterator[str]:
    """Every digest that the database holds, as often as it does."""
    for model in apps.get_models(include_auto_created=True):
        columns = [str(field.column) for field in model._meta.concrete_fields if _may_name(field)]
        if columns and model._meta.managed:
            yield from _digests(model, columns)


def _may_name(field: models.Field) -> bool:  # type: ignore[type-arg]
    if isinstance(field, models.JSONField):
        return True
    text = isinstance(field, models.CharField | models.TextField)
    return text and field.name.endswith(("sha256", "digest"))


def _digests(model: type[Model], columns: list[str]) -> Iterator[str]:
    quote = connection.ops.quote_name
    found = " || ' ' || ".join(f"coalesce({quote(column)}::text, '')" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT found[1] FROM "
            f"{quote(model._meta.db_table)}, regexp_matches({found}, '[0-9a-f]{{64}}', 'g') found"
        )
        while rows := cursor.fetchmany(_PAGE):
            yield from (row[0] for row in rows)
