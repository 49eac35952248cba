"""The one place where time is read, so that tests can pass it in."""

import datetime as dt

from django.utils import timezone


def now() -> dt.datetime:
    """The current time, aware, UTC."""
    return timezone.now()
