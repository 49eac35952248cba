"""Polling with a deadline, in place of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.waiting import WAIT_S


def wait_until(true: Callable[[], object], *, seconds: float = WAIT_S) -> None:
    """Return as soon as `true()` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
