"""The one place where time is read, so that every process goes by the clock of the database.

Nodes may be minutes off. Each process compares its clock with the server's whenever it takes a
database connection (at most every FOLLOW_EVERY_S) and counts on from there by the monotonic clock:
setting a machine's clock moves nothing here. A process without a database is told by its parent.
"""

import datetime as dt
import time
from typing import Any, NamedTuple

from django.db.backends.signals import connection_created
from django.utils import timezone

FOLLOW_EVERY_S = 10.0


class Reading(NamedTuple):
    """What the server's clock showed at a moment of this machine's monotonic clock, in seconds."""

    server_s: float
    monotonic_s: float


_reading: Reading | None = None


def now() -> dt.datetime:
    """The current time of the server, aware, UTC; of this machine until the server was asked."""
    if _reading is None:
        return timezone.now()
    passed = time.monotonic() - _reading.monotonic_s
    return dt.datetime.fromtimestamp(_reading.server_s + passed, dt.UTC)


def stamp(at: dt.datetime | None = None) -> str:
    """ISO 8601 with milliseconds, UTC, as logs and metrics carry it."""
    at = (at or now()).astimezone(dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reading() -> Reading | None:
    """To be given to a child process of the same machine."""
    return _reading


def follow(found: Reading | None) -> None:
    """Count on from a reading."""
    global _reading
    _reading = found


def follow_database() -> None:
    """From now on look at the server's clock when a connection is taken."""
    connection_created.connect(_look, dispatch_uid="models_app.core.clock")


def _look(*, connection: Any, **_: object) -> None:
    begun = time.monotonic()
    if _reading is not None and begun - _reading.monotonic_s < FOLLOW_EVERY_S:
        return
    # Past Django's cursor: nobody's transaction or count of statements takes part in it.
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (server_s,) = cursor.fetchone()
    follow(Reading(server_s, (begun + time.monotonic()) / 2))
