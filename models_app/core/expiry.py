"""Rows that only pile up, such as records of calls, are kept for days and up to a number.

They go in small transactions, oldest first: nobody who writes or reads waits for it, and an ended
process loses nothing but the work of a moment.
"""

import datetime as dt
import time
from dataclasses import dataclass

from django.db import connection, models

from models_app.core.clock import now

#: Rows that go in one transaction.
CHUNK = 2000
#: How long one round may take; what is left over goes in the next one.
BUDGET_S = 5.0

_OLD = """
DELETE FROM {table} WHERE id IN (
  SELECT id FROM {table} WHERE at < %s ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED)
"""
#: By number and not by counting, which reads the whole table. Numbers that were never used count.
_MANY = """
DELETE FROM {table} WHERE id IN (
  SELECT id FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - %s
   ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
"""
_KEPT = """
SELECT min(at), coalesce(max(id) - min(id) + 1, 0), pg_total_relation_size(%s::regclass)
  FROM {table}
"""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is there now: at most so many rows, the time of the oldest, bytes with indexes."""

    rows: int
    oldest: dt.datetime | None
    bytes: int


def rows_expire(
    model: type[models.Model], *, days: int, most: int, budget_s: float = BUDGET_S
) -> int:
    """Delete rows whose `at` is older than `days` and those beyond the newest `most`; 0 of either:
    no limit. `model` has an index over `at`. Returns how many went; others may be left for the
    next round. Not inside a transaction, for its locks would last until the end.
    """
    until = time.monotonic() + budget_s
    count = 0
    if days:
        count += _delete(_OLD, model, now() - dt.timedelta(days=days), until)
    if most:
        count += _delete(_MANY, model, most, until)
    return count


def rows_kept(model: type[models.Model]) -> Kept:
    """Reads the ends of two indexes, whatever the size."""
    with connection.cursor() as cursor:
        table = model._meta.db_table
        cursor.execute(_KEPT.format(table=connection.ops.quote_name(table)), [table])
        oldest, rows, size = cursor.fetchone()
    return Kept(rows=rows, oldest=oldest, bytes=size)


def _delete(
    statement: str, model: type[models.Model], limit: int | dt.datetime, until: float
) -> int:
    sql = statement.format(table=connection.ops.quote_name(model._meta.db_table))
    count = 0
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(sql, [limit, CHUNK])
            count += cursor.rowcount
            if cursor.rowcount < CHUNK:
                break
    return count
