"""The one place where time is read, so that tests can pass it in."""

import datetime as dt

from django.utils import timezone


def now() -> dt.datetime:
    """The current time, aware, UTC."""
    return timezone.now()


def stamp(at: dt.datetime | None = None) -> str:
    """ISO 8601 with milliseconds, UTC, as logs and metrics carry it."""
    at = (at or now()).astimezone(dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
