"""What is left in the spools of this node: shipped under the attempt that said it, then removed.

A worker that was killed, or that could not reach the database, leaves lines behind. The next worker
here brings them into the store, also for jobs that have ended or gone on elsewhere; only then does
a folder go. Any number of workers may do so at once: see models_app.jobs.log_late.
"""

import logging
import shutil
import threading
from collections import defaultdict
from pathlib import Path

from django.db import DatabaseError, close_old_connections, connections, transaction

from models_app.jobs.log_late import StillHeld, log_append_late
from models_app.jobs.logs import SpoolMoved
from models_app.jobs.metrics import metrics_append_late
from models_app.jobs.models import Job, JobAttempt, JobPart
from models_app.jobs.samples import samples_append_late
from models_app.jobs.states import HELD, TERMINAL
from workers.spool import Spool, attempt_folder, job_folder, spool_root

logger = logging.getLogger(__name__)
TIDY_S = 3.0


class Tidier(threading.Thread):
    """Looks at the spools at the start and every few seconds; a long tail holds up nobody else."""

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__(name="spool-tidier", daemon=True)
        self.stopping = stopping

    def run(self) -> None:
        while True:
            try:
                close_old_connections()
                clear_ended()
            except DatabaseError as error:
                logger.warning("spools wait for the database: %s", error)
            except Exception:
                logger.exception("spools")
            finally:
                connections.close_all()
            if self.stopping.wait(TIDY_S):
                return


def clear_ended() -> int:
    """Ship what was left behind, then remove the folders of ended jobs; returns the lines."""
    folders = {int(p.name[4:]): p for p in spool_root().glob("job-*") if p.name[4:].isdecimal()}
    if not folders:
        return 0
    attempts: dict[int, list[JobAttempt | JobPart]] = defaultdict(list)
    for row in JobAttempt.objects.filter(job_id__in=list(folders)).order_by("epoch"):
        attempts[row.job_id].append(row)
    for part in JobPart.objects.filter(job_id__in=list(folders), number__gt=0).order_by("pk"):
        attempts[part.job_id].append(part)
    count = 0
    for job in Job.objects.filter(pk__in=list(folders)).only("pk", "state", "epoch"):
        for said in attempts[job.pk]:
            if not (job.state in HELD and job.epoch == said.epoch):
                count += ship_late(said)
        if job.state in TERMINAL:
            clear_job(job.pk)
    return count


def ship_late(attempt: JobAttempt | JobPart) -> int:
    """Store the rest of what an attempt that is over has said; returns how many lines."""
    folder = attempt_folder(attempt.job_id, attempt.epoch, attempt.number)
    spool = Spool(folder / "events.jsonl", attempt.spool_offset)
    if not folder.exists() or (attempt.log_complete and spool.size() <= spool.offset):
        return 0
    count = 0
    more = True
    while more:
        batch = spool.read(final=True)
        try:
            with transaction.atomic():
                log_append_late(
                    job_id=attempt.job_id,
                    epoch=attempt.epoch,
                    lines=batch.lines,
                    spool_from=spool.offset,
                    spool_offset=batch.offset,
                    complete=not batch.more,
                    part=attempt.number,
                )
                metrics_append_late(job_id=attempt.job_id, points=batch.metrics)
                samples_append_late(job_id=attempt.job_id, rows=batch.samples)
        except SpoolMoved:
            attempt.refresh_from_db()
            spool.offset = attempt.spool_offset
            continue
        except StillHeld:
            return count
        spool.done(batch)
        count += len(batch.lines)
        more = batch.more
    return count


def clear_job(job_id: int) -> bool:
    """Remove the folder of an ended job, unless something in it is not stored; whether it did."""
    folder = job_folder(job_id)
    rows = JobAttempt.objects.filter(job_id=job_id).values_list("epoch", "spool_offset")
    stored = {f"a{epoch}": offset for epoch, offset in rows}
    parts = JobPart.objects.filter(job_id=job_id, number__gt=0)
    for epoch, number, offset in parts.values_list("epoch", "number", "spool_offset"):
        stored[f"a{epoch}.{number}"] = offset
    for path in folder.glob("a*/events.jsonl"):
        if path.stat().st_size > stored.get(path.parent.name, -1):
            return False
    shutil.rmtree(Path(folder), ignore_errors=True)
    return True
