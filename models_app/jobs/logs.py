"""The log of a job: appended in chunks by the attempt that holds it, read by sequence number.

How lines are packed: log_chunks. Joining small chunks: log_compaction. What an attempt has left
behind: log_late. Search: log_search. How long lines are kept: log_retention.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min, QuerySet

from models_app.core.errors import StaleEpoch
from models_app.events.publish import publish_now
from models_app.jobs.log_chunks import Line, pack, rows
from models_app.jobs.models import Job, JobAttempt, JobPart, LogChunk
from models_app.jobs.states import HELD, TERMINAL

#: Longer lines are cut into several; the reader sees each part as a line.
MAX_LINE = 16_384
#: A line of this stream says that lines are missing, late or dropped.
GAP_STREAM = "gap"
#: Chunks that are looked at together.
PAGE = 8
SEEK = """
SELECT first_seq, epoch, body FROM jobs_logchunk
 WHERE job_id = %s AND last_seq > %s ORDER BY last_seq LIMIT %s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line: its number in the job, ISO time, attempt, stream, level, text."""

    seq: int
    at: str
    epoch: int
    stream: str
    level: str
    text: str

    def as_list(self) -> list[Any]:
        return [self.seq, self.at, self.epoch, self.stream, self.level, self.text]


class SpoolMoved(Exception):
    """The database stands at another place of the spool than the writer believed.

    It lost the last moments in a crash, or it kept what its broken connection could not confirm.
    """


@transaction.atomic
def log_append(
    *,
    job: Job,
    lines: Sequence[Line],
    spool_offset: int | None = None,
    spool_from: int | None = None,
    epoch: int | None = None,
    part: int = 0,
    durable: bool = False,
    complete: bool = False,
) -> int:
    """Store `(at, stream, level, text)` lines behind the ones there are; returns the new log_seq.

    They are what the spool says from `spool_from` to `spool_offset` (None: they are not from the
    spool); raises SpoolMoved if the database stands elsewhere, so that each is stored exactly once.
    `epoch` names the attempt that wrote them, if it was an earlier one whose spool is shipped late,
    and `part` which of several; the writer must hold the job all the same. `complete`: nothing more
    will come of that attempt. Raises StaleEpoch.
    """
    with connection.cursor() as cursor:
        if not durable:
            # What a crash of the database server then loses, the spool still has: see SpoolMoved.
            cursor.execute("SET LOCAL synchronous_commit = off")
    chunk = pack(lines) if lines else None
    last = advance(
        job.pk,
        len(lines),
        chunk.size if chunk else 0,
        "epoch = %s AND state = ANY(%s) AND lease_until > clock_timestamp()",
        [job.epoch, sorted(HELD)],
    )
    if last is None:
        raise StaleEpoch(f"Attempt {job.epoch} of job {job.pk} may not write its log any more.")
    writer = epoch or job.epoch
    if spool_offset is not None:
        move_spool(job.pk, writer, spool_from, spool_offset, part=part, complete=complete)
    if chunk:
        store(job.pk, writer, last - len(lines) + 1, last, chunk)
    return last


def advance(
    job_id: int, lines: int, size: int, condition: str, values: Sequence[Any]
) -> int | None:
    """Take the next numbers for `lines` lines, if the row of the job fulfils the condition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET log_seq = log_seq + %s, log_bytes = log_bytes + %s"
            f" WHERE id = %s AND {condition} RETURNING log_seq",
            [lines, size, job_id, *values],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def writers(job_id: int, epoch: int, part: int) -> "QuerySet[JobAttempt] | QuerySet[JobPart]":
    """The row that knows how much of a spool is stored: the attempt's, or that of a part of it."""
    if part:
        return JobPart.objects.filter(job_id=job_id, epoch=epoch, number=part)
    return JobAttempt.objects.filter(job_id=job_id, epoch=epoch)


def move_spool(
    job_id: int, epoch: int, start: int | None, end: int, *, part: int = 0, complete: bool = False
) -> None:
    """The spool of this attempt is stored up to `end`; raises SpoolMoved unless it was at `start`.

    This compare-and-set is what makes every line of a spool be stored once, whoever ships it.
    """
    attempt = writers(job_id, epoch, part)
    if start is not None:
        attempt = attempt.filter(spool_offset=start)
    fields: dict[str, Any] = {"log_complete": True} if complete else {}
    if not attempt.update(spool_offset=end, **fields) and start is not None:
        raise SpoolMoved(f"The log of job {job_id} goes on elsewhere than at {start}.")


def store(job_id: int, epoch: int, first: int, last: int, chunk: Any) -> None:
    """Write one packed chunk."""
    LogChunk.objects.create(
        job_id=job_id,
        epoch=epoch,
        first_seq=first,
        last_seq=last,
        body=chunk.body,
        size=chunk.size,
        levels=chunk.levels,
        grams=chunk.grams,
    )


def log_topic(job_id: int) -> str:
    """The live topic on which a job's log rings."""
    return f"job.{job_id}.log"


def log_bell(*, job_id: int, log_seq: int) -> None:
    """Tell those who watch this log that there is more. Call it after the commit."""
    publish_now("log.more", {"log_seq": log_seq}, log_topic(job_id))


def log_position(*, job: Job, epoch: int | None = None, part: int = 0) -> int:
    """How many bytes of the spool of the job's present attempt (or that one) are stored."""
    found = writers(job.pk, epoch or job.epoch, part)
    return found.values_list("spool_offset", flat=True).get()


def log_rows(*, job_id: int, after: int = 0, chunks: int = PAGE) -> list[list[list[Any]]]:
    """The lines of the next `chunks` chunks after a number: `[seq, at, epoch, …]`, by chunk."""
    with connection.cursor() as cursor:
        cursor.execute(SEEK, [job_id, after, chunks])
        found = cursor.fetchall()
    return [rows(first, epoch, bytes(body), after=after) for first, epoch, body in found]


def log_pages(*, job_id: int, after: int = 0) -> Iterator[list[list[Any]]]:
    """All lines after a number, a chunk at a time; holds no transaction between them."""
    while page := log_rows(job_id=job_id, after=after, chunks=1):
        yield page[0]
        after = page[0][-1][0]


def log_read(*, job: Job, after: int = 0, limit: int = 1000) -> list[LogLine]:
    """Lines after number `after`, at most `limit`, in order."""
    return [
        LogLine(seq=seq, at=at, epoch=epoch, stream=stream, level=level, text=text)
        for seq, at, epoch, stream, level, text in log_list(job=job, after=after, limit=limit)
    ]


def log_list(*, job: Job, after: int = 0, limit: int = 1000) -> list[list[Any]]:
    """The same as lists, for JSON."""
    found: list[list[Any]] = []
    while len(found) < limit:
        page = log_rows(job_id=job.pk, after=found[-1][0] if found else after)
        if not page:
            break
        for lines in page:
            found += lines
    return found[:limit]


def log_tail(*, job: Job, count: int = 200) -> list[LogLine]:
    """The newest `count` lines."""
    return log_read(job=job, after=max(0, job.log_seq - count), limit=count)


def log_text(*, job: Job, after: int = 0) -> Iterator[str]:
    """The log as text, a line at a time."""
    for block in log_blocks(job=job, after=after):
        # str.splitlines would also split at U+2028 and the like.
        for line in block.split("\n")[:-1]:
            yield f"{line}\n"


def log_blocks(*, job: Job, after: int = 0, until: int | None = None) -> Iterator[str]:
    """The log as text, some thousand lines at a time, for download; up to the line `until`."""
    for page in log_pages(job_id=job.pk, after=after):
        yield "".join(
            f"{at} {level.upper():<7} {f'[{stream}] ' if stream == GAP_STREAM else ''}{text}\n"
            for seq, at, _, stream, level, text in page
            if until is None or seq <= until
        )
        if until is not None and page and page[-1][0] >= until:
            return


def attempt_lines(*, job: Job) -> dict[int, tuple[int, int]]:
    """Numbers of the first and the last line that is kept of each attempt, by its epoch."""
    rows = LogChunk.objects.filter(job=job).values("epoch")
    found = rows.annotate(first=Min("first_seq"), last=Max("last_seq")).order_by("epoch")
    return {row["epoch"]: (row["first"], row["last"]) for row in found}


def log_closed(job: Job) -> bool:
    """No more lines will come, but for what a lost node may bring back."""
    return job.state in TERMINAL
