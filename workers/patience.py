"""Waits for a store that is away, as long as the job may stay on this node."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from models_app.core.errors import StaleEpoch
from models_app.core.store import StoreUnavailable
from models_app.jobs.kind import JobFailed
from models_app.jobs.states import ReasonCode

T = TypeVar("T")
LONGEST_S = 600
RETRY_S = 2.0


def with_store(
    action: Callable[[], T],
    *,
    lost: threading.Event,
    leaving: Callable[[], bool],
    say: Callable[[str], None],
) -> T:
    """Do it, again and again while the console's store is away; `say` is told once.

    Raises StaleEpoch when the lease is lost, and JobFailed (not for good) when the job is wanted
    elsewhere or the store stays away.
    """
    until, told = time.monotonic() + LONGEST_S, False
    while True:
        try:
            return action()
        except StoreUnavailable as error:
            if leaving() or time.monotonic() > until:
                raise JobFailed(
                    error.message, reason=ReasonCode.NODE_LOST, permanent=False
                ) from error
            if not told:
                say(f"Waiting for the store. {error.message}")
            told = True
        if lost.wait(RETRY_S):
            raise StaleEpoch
