"""How long log lines are kept: days for all, MiB for each job. Numbers never change.

What is dropped is said: in the log itself, if its job is still writing, and by `log_first`, the
number of the first line that is kept.
"""

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now

from models_app.core.clock import stamp
from models_app.jobs.log_chunks import pack
from models_app.jobs.log_compaction import LOCK
from models_app.jobs.logs import GAP_STREAM, advance, log_bell, store
from models_app.jobs.models import Job, LogChunk
from models_app.jobs.states import HELD

#: Drop a little more than needed, so that a talkative job is not cut every few seconds.
CUT_TO = 0.9
SWEEP = 200


def logs_expire() -> dict[str, int]:
    """Drop what is too old or too much; returns how many jobs lost lines for which reason."""
    return {"old": _expire_old(), "large": _expire_large()}


def _expire_old() -> int:
    if not settings.LOG_KEEP_DAYS:
        return 0
    # An index over the age of chunks, in blocks of the table, makes this cheap when nothing is old.
    limit = Now() - dt.timedelta(days=settings.LOG_KEEP_DAYS)
    rows = LogChunk.objects.filter(stored_at__lt=limit).order_by().values_list("job_id", flat=True)
    count = 0
    for job_id in list(rows.distinct()[:SWEEP]):
        days = settings.LOG_KEEP_DAYS
        count += _drop(job_id, {"stored_at__lt": limit}, f"they were older than {days} days")
    return count


def _expire_large() -> int:
    most = settings.LOG_MAX_MIB << 20
    if not most:
        return 0
    rows = Job.objects.filter(log_bytes__gt=most).values_list("pk", flat=True)[:SWEEP]
    text = f"the log is larger than {settings.LOG_MAX_MIB} MiB"
    return sum(_drop(job_id, _beyond(job_id, int(most * CUT_TO)), text) for job_id in list(rows))


def _beyond(job_id: int, most: int) -> dict[str, Any]:
    """The condition of the oldest chunks that do not fit."""
    chunks = LogChunk.objects.filter(job_id=job_id).order_by("-last_seq")
    kept = 0
    for last, size in chunks.values_list("last_seq", "size").iterator():
        kept += size
        if kept > most:
            return {"last_seq__lte": last}
    return {"last_seq__lt": 0}


@transaction.atomic
def _drop(job_id: int, condition: dict[str, Any], why: str) -> int:
    """Delete the chunks from the beginning on that fulfil the condition, and say so."""
    with connection.cursor() as cursor:
        # Whoever is just joining chunks would bring them back.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, job_id & 0x7FFFFFFF])
    job = Job.objects.select_for_update(no_key=True).get(pk=job_id)
    chunks = LogChunk.objects.filter(job_id=job_id)
    newest = chunks.filter(**condition).order_by("-last_seq").first()
    left = chunks.aggregate(size=Sum("size"))["size"] or 0
    if newest is None:
        Job.objects.filter(pk=job_id).update(log_bytes=left)
        return 0
    gone = chunks.filter(last_seq__lte=newest.last_seq)
    left -= gone.aggregate(size=Sum("size"))["size"] or 0
    first = job.log_first
    gone.delete()
    Job.objects.filter(pk=job_id).update(log_first=newest.last_seq + 1, log_bytes=left)
    if job.state in HELD:
        _say(job, f"Lines {first} to {newest.last_seq} were dropped: {why}.")
    return 1


def _say(job: Job, text: str) -> None:
    chunk = pack([(stamp(), GAP_STREAM, "warning", text)])
    last = advance(job.pk, 1, chunk.size, "epoch = %s", [job.epoch])
    if last is not None:
        store(job.pk, job.epoch, last, last, chunk)
        transaction.on_commit(lambda: log_bell(job_id=job.pk, log_seq=last), robust=True)
