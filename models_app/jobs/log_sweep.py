"""What the clock does for logs: expire lines, mark missing ends, join what ended jobs have left."""

import time

from models_app.jobs.log_compaction import logs_compact
from models_app.jobs.log_late import logs_note_gaps
from models_app.jobs.log_retention import logs_expire

EVERY_S = 30.0
_last = -EVERY_S


def logs_sweep(*, now: bool = False) -> int:
    """One round; returns how many rows it changed. Often called, it works every half minute."""
    global _last
    if not now and time.monotonic() - _last < EVERY_S:
        return 0
    _last = time.monotonic()
    return sum(logs_expire().values()) + logs_note_gaps() + logs_compact()
