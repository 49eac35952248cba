"""Brings what a child said from the spool into the database, and rings the pages' bell."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connections, transaction

from models_app.core.clock import stamp
from models_app.events.publish import publish_now
from models_app.jobs.attempts import (
    attempt_environment,
    checkpoint_record,
    checkpoints_forget,
    job_ready,
    job_report,
    progress_report,
)
from models_app.jobs.kind import job_kinds
from models_app.jobs.log_chunks import SOLID_LINES
from models_app.jobs.log_compaction import GATHER, log_compact
from models_app.jobs.log_late import attempts_without_end
from models_app.jobs.logs import SpoolMoved, log_append, log_bell, log_position
from models_app.jobs.metrics import metrics_append
from models_app.jobs.models import Job
from models_app.jobs.samples import samples_append
from workers.events import Batch, parts
from workers.spool import Spool, attempt_folder

BELL_EVERY_S = 0.2
#: The log has a bell of its own; to those who hear only the job's, lines alone ring seldom.
LINES_BELL_EVERY_S = 1.0
TAIL_LINES = 40
#: Of a job that serves, whose attempts may be many: what each of them said at its end.
LONG_TAIL_LINES = 200


def _tail_lines(job: Job) -> int:
    return LONG_TAIL_LINES if job_kinds.get(job.kind).long_lived else TAIL_LINES


class Shipper:
    """Owns the read position in the spool of one attempt."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        on_checkpoint: Callable[[int, str], None] = lambda step, path: None,
        part: int = 0,
    ) -> None:
        self.job, self.on_checkpoint, self.part = job, on_checkpoint, part
        self.spool = Spool(folder / "events.jsonl")
        self.outcome: dict[str, Any] | None = None
        self._tail: deque[str] = deque(maxlen=_tail_lines(job))
        self._bell: dict[str, Any] = {}
        self._rung_at = 0.0
        self._loose = 0

    def say(self, text: str, level: str = "info") -> None:
        """A line of Slipway's own in the job's log, at once."""
        lines = [(stamp(), "slipway", level, part) for part in parts(text)]
        # No spool has it, so a crash of the database must not take it back.
        seq = log_append(job=self.job, lines=lines, durable=True)
        self._tail.append(text)
        self._ring({"log_seq": seq}, urgent=True)
        connections.close_all()

    def leftovers(self) -> None:
        """Store what earlier attempts on this node said and nobody had stored.

        What those on other nodes may have said as well is marked as missing. Part 0 does so for
        all; what parts have left, the tidier of their node finds (`workers.late`).
        """
        if self.part:
            return
        here = [n for n in range(1, self.job.epoch) if attempt_folder(self.job.pk, n).exists()]
        for epoch, spool in Spool.leftovers(self.job):
            while self._leftover(epoch, spool):
                pass
        attempts_without_end(job=self.job, here=here)

    def _leftover(self, epoch: int, spool: Spool) -> bool:
        batch = spool.read(final=True)
        try:
            with transaction.atomic():
                log_append(
                    job=self.job,
                    lines=batch.lines,
                    spool_offset=batch.offset,
                    spool_from=spool.offset,
                    epoch=epoch,
                    durable=True,
                    complete=not batch.more,
                )
                metrics_append(job=self.job, points=batch.metrics)
                samples_append(job=self.job, rows=batch.samples)
        except SpoolMoved:
            # Another worker of this node ships it as well.
            spool.offset = log_position(job=self.job, epoch=epoch)
            return True
        spool.done(batch)
        return batch.more

    def ship(self, *, final: bool = False) -> bool:
        """Store the next batch; whether there is more. Raises StaleEpoch when fenced off."""
        batch = self.spool.read(final=final)
        moved = batch.offset != self.spool.offset
        if not (moved or final):
            self._ring({})
            return False
        self.outcome = batch.outcome or self.outcome
        try:
            with transaction.atomic():
                # The last one is durable: behind it the job ends, and with it the spool.
                seq = log_append(
                    job=self.job,
                    lines=batch.lines,
                    spool_offset=batch.offset,
                    spool_from=self.spool.offset,
                    part=self.part,
                    durable=final,
                    complete=final and not batch.more,
                )
                metrics_append(job=self.job, points=batch.metrics)
                samples_append(job=self.job, rows=batch.samples)
                self._store_events(batch)
        except SpoolMoved:
            self.spool.offset = log_position(job=self.job, part=self.part)
            return True
        self.spool.done(batch)
        self._tail.extend(text for *_, text in batch.lines[-TAIL_LINES:])
        if batch.lines:
            log_bell(job_id=self.job.pk, log_seq=seq)
        self._ring(_news(batch, seq), urgent=final)
        self._gather(len(batch.lines))
        connections.close_all()
        return batch.more

    def drain(self) -> None:
        """Store everything that is left, and make sure of what was stored before."""
        while self.ship(final=True):
            pass
        self._ring({}, urgent=True)

    def _gather(self, lines: int) -> None:
        """Join the small chunks of a slow job now and then."""
        self._loose += 0 < lines < SOLID_LINES
        if self._loose >= GATHER:
            self._loose = 0
            log_compact(job_id=self.job.pk)

    def tail(self) -> str:
        """The last lines of output, kept with the reason of the end."""
        return "\n".join(self._tail)[-8000:]

    def _store_events(self, batch: Batch) -> None:
        if self.part:
            return  # part 0 tells of all of them together
        if batch.progress:
            progress_report(job=self.job, values=batch.progress)
        for checkpoint in batch.checkpoints:
            checkpoint_record(job=self.job, checkpoint=checkpoint)
        if batch.checkpoints:
            newest = max(batch.checkpoints, key=lambda checkpoint: checkpoint["step"])
            transaction.on_commit(lambda: self.on_checkpoint(newest["step"], newest["path"]))
            checkpoints_forget(job=self.job, exists=lambda path: Path(path).exists())
        if batch.environment is not None:
            attempt_environment(job=self.job, environment=batch.environment)
        if batch.ready is not None:
            job_ready(job=self.job, data=batch.ready)
        if batch.report is not None:
            job_report(job=self.job, data=batch.report)

    def _ring(self, news: dict[str, Any], *, urgent: bool = False) -> None:
        """At most five times a second: "there is more, up to line N"."""
        self._bell.update(news)
        every = LINES_BELL_EVERY_S if self._bell.keys() == {"log_seq"} else BELL_EVERY_S
        due = urgent or time.monotonic() - self._rung_at > every
        if self._bell and due:
            publish_now("job.progress", {"id": self.job.pk, **self._bell}, f"job.{self.job.pk}")
            self._bell, self._rung_at = {}, time.monotonic()


def _news(batch: Batch, log_seq: int) -> dict[str, Any]:
    news: dict[str, Any] = {"log_seq": log_seq, **batch.progress}
    if batch.metrics:
        news["metric_step"] = max(step for _, step, _, _ in batch.metrics)
    if batch.samples:
        news["sample_step"] = batch.samples[-1]["step"]
    if batch.checkpoints:
        news["checkpoint_step"] = batch.checkpoints[-1]["step"]
    return news
