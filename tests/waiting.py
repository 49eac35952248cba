"""Waiting for conditions: how long, for everybody.

A wait that is met costs nothing, however long it may last. So none is short because the machine
that it was written on was idle. What must be quick is said by an assertion about its time.
"""

import time
from collections.abc import Callable

#: Below every sleep and training that tests start in order to end it before its time.
WAIT_S = 180.0


def wait_for(check: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> object:
    """Poll until `check` gives something true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s} s")
