"""The log of a job: appended in chunks by the attempt that holds it, read by sequence number."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from models_app.core.errors import StaleEpoch
from models_app.jobs.models import Job, JobAttempt, LogChunk
from models_app.jobs.states import HELD, TERMINAL

#: Longer lines are cut into several; the reader sees each part as a line.
MAX_LINE = 16_384


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
    lines: list[tuple[str, str, str, str]],
    spool_offset: int,
    spool_from: int | None = None,
    epoch: int | None = None,
    durable: bool = False,
) -> int:
    """Store `(at, stream, level, text)` lines behind the ones there are; returns the new log_seq.

    They are what the spool says from `spool_from` to `spool_offset`; raises SpoolMoved if the
    database stands elsewhere, so that each is stored exactly once. `epoch` names the attempt that
    wrote them, if it was an earlier one whose spool is shipped late; the writer must hold the job
    all the same. Raises StaleEpoch.
    """
    with connection.cursor() as cursor:
        if not durable:
            # What a crash of the database server then loses, the spool still has: see SpoolMoved.
            cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            "UPDATE jobs_job SET log_seq = log_seq + %s WHERE id = %s AND epoch = %s"
            " AND state = ANY(%s) AND lease_until > clock_timestamp() RETURNING log_seq",
            [len(lines), job.pk, job.epoch, sorted(HELD)],
        )
        row = cursor.fetchone()
    if row is None:
        raise StaleEpoch(f"Attempt {job.epoch} of job {job.pk} may not write its log any more.")
    last = int(row[0])
    writer = epoch or job.epoch
    attempt = JobAttempt.objects.filter(job_id=job.pk, epoch=writer)
    if spool_from is not None:
        attempt = attempt.filter(spool_offset=spool_from)
    if not attempt.update(spool_offset=spool_offset) and spool_from is not None:
        raise SpoolMoved(f"The log of job {job.pk} goes on elsewhere than at {spool_from}.")
    if lines:
        LogChunk.objects.create(
            job_id=job.pk,
            epoch=writer,
            first_seq=last - len(lines) + 1,
            last_seq=last,
            body=zlib.compress(json.dumps(lines, ensure_ascii=True).encode(), 3),
        )
    return last


def log_position(*, job: Job) -> int:
    """How many bytes of the spool of the job's present attempt are stored."""
    rows = JobAttempt.objects.filter(job_id=job.pk, epoch=job.epoch)
    return rows.values_list("spool_offset", flat=True).get()


def log_read(*, job: Job, after: int = 0, limit: int = 1000) -> list[LogLine]:
    """Lines after number `after`, at most `limit`, in order."""
    found: list[LogLine] = []
    chunks = LogChunk.objects.filter(job=job, last_seq__gt=after).order_by("last_seq")
    for chunk in chunks.iterator(chunk_size=20):
        for line in unpack(chunk):
            if line.seq > after:
                found.append(line)
                if len(found) >= limit:
                    return found
    return found


def log_tail(*, job: Job, count: int = 200) -> list[LogLine]:
    """The newest `count` lines."""
    return log_read(job=job, after=max(0, job.log_seq - count), limit=count)


def log_text(*, job: Job) -> Iterator[str]:
    """The whole log as text, a line at a time, for download."""
    for chunk in LogChunk.objects.filter(job=job).order_by("last_seq").iterator(chunk_size=20):
        for line in unpack(chunk):
            yield f"{line.at} {line.level.upper():<7} {line.text}\n"


def log_closed(job: Job) -> bool:
    """No more lines will come."""
    return job.state in TERMINAL


def unpack(chunk: LogChunk) -> Iterator[LogLine]:
    """The lines of one stored chunk."""
    rows = json.loads(zlib.decompress(bytes(chunk.body)))
    for offset, (at, stream, level, text) in enumerate(rows):
        yield LogLine(
            seq=chunk.first_seq + offset,
            at=at,
            epoch=chunk.epoch,
            stream=stream,
            level=level,
            text=text,
        )
