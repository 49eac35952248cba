"""Log lines as frames for sockets: read from the database once, built once, sent to many."""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connections

from models_app.jobs.logs import PAGE, log_rows, log_topic
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL

FRAME_LINES, FRAME_CHARS = 1000, 128 << 10
#: Readers of the newest lines must not wait for those who read old ones.
_live = ThreadPoolExecutor(2, thread_name_prefix="log-live")
_past = ThreadPoolExecutor(2, thread_name_prefix="log-past")


@dataclass(frozen=True, slots=True)
class Frame:
    """Some consecutive lines, as the text that goes over the wire."""

    first: int
    last: int
    closed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store had after a number."""

    frames: Sequence[Frame]
    #: Everything up to here has been read.
    last: int
    #: Number of the last line there is.
    log_seq: int
    #: The job has ended, and everything it said has been read.
    closed: bool
    #: There is more to be read at once.
    full: bool


async def read_live(job_id: int, after: int | None) -> Reading:
    """The newest lines; without `after` only where the log stands."""
    return await _read(_live, job_id, after, None)


async def read_past(job_id: int, after: int, upto: int) -> Reading:
    """Lines that others have got already, up to a number."""
    return await _read(_past, job_id, after, upto)


async def _read(
    pool: ThreadPoolExecutor, job_id: int, after: int | None, upto: int | None
) -> Reading:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(pool, reading, job_id, after, upto)


def reading(job_id: int, after: int | None, upto: int | None = None) -> Reading:
    """Read and build the frames; gives the connection back to the pool."""
    try:
        # The job first: if it has ended by now, the lines that follow are all there are.
        found = Job.objects.filter(pk=job_id).values_list("state", "log_seq", "log_first")
        state, log_seq, kept = found.first() or ("canceled", 0, 1)
        ended = state in TERMINAL
        if after is None:
            return Reading((), log_seq, log_seq, ended, False)
        pages = log_rows(job_id=job_id, after=after)
        lines = [line for page in pages for line in page if upto is None or line[0] <= upto]
        last = lines[-1][0] if lines else after
        closed = ended and last >= log_seq
        frames = build(job_id, lines, closed=closed, kept=kept)
        return Reading(frames, last, log_seq, closed, len(pages) == PAGE)
    finally:
        connections.close_all()


def build(job_id: int, lines: Sequence[Any], *, closed: bool, kept: int) -> list[Frame]:
    """Cut into frames, none much larger than a screenful of screenfuls."""
    frames: list[Frame] = []
    start = chars = 0
    for at, line in enumerate(lines):
        chars += len(line[5])
        end = at + 1 == len(lines)
        if end or at + 1 - start >= FRAME_LINES or chars >= FRAME_CHARS:
            part = lines[start : at + 1]
            frames.append(_frame(job_id, part, part[0][0], closed=closed and end, kept=kept))
            start, chars = at + 1, 0
    return frames


def closing(job_id: int, last: int) -> Frame:
    """A frame without lines that says that the log is closed."""
    return _frame(job_id, (), last + 1, closed=True, kept=1)


def _frame(job_id: int, lines: Sequence[Any], first: int, *, closed: bool, kept: int) -> Frame:
    last = first + len(lines) - 1
    data: dict[str, Any] = {"first": first, "last": last, "closed": closed}
    if kept > 1:
        data["kept"] = kept
    data["lines"] = lines
    message = {"topic": log_topic(job_id), "type": "log.lines", "data": data}
    # In ASCII: encoding it once more for each of a hundred sockets then is a copy.
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=True)
    return Frame(first, last, closed, text)
