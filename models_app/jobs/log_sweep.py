"""What the clock does for logs: expire lines, mark missing ends, join what ended jobs have left."""

from models_app.jobs.log_compaction import logs_compact
from models_app.jobs.log_late import logs_note_gaps
from models_app.jobs.log_retention import logs_expire
from models_app.jobs.ticks import tick_claim

EVERY_S = 30.0


def logs_sweep(*, now: bool = False) -> int:
    """One round; returns how many rows it changed. Often called, it works every half minute."""
    if not now and not tick_claim("logs", EVERY_S):
        return 0
    return sum(logs_expire().values()) + logs_note_gaps() + logs_compact()
