"""The spool: what a child process says, in one append-only file, durable before it is stored.

`<data>/spool/job-7/a2/events.jsonl` belongs to attempt 2 of job 7. A line is JSON with a `t`
(log, metric, progress, checkpoint, ready, environment, result, failed, stopped), or any other text:
that came from the C side of the process and counts as a line of its stderr.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.core.clock import stamp
from models_app.jobs.logs import MAX_LINE
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.states import TERMINAL

READ = 1 << 20
MAX_LINES = 4000


def spool_root() -> Path:
    return Path(settings.DATA_DIR) / "spool"


def job_folder(job_id: int) -> Path:
    """Everything of a job on this node; gone after its end."""
    return spool_root() / f"job-{job_id}"


def attempt_folder(job_id: int, epoch: int) -> Path:
    return job_folder(job_id) / f"a{epoch}"


def clear_ended() -> None:
    """Remove folders of jobs that have ended (by another node, or while this one was away)."""
    folders = {int(p.name[4:]): p for p in spool_root().glob("job-*") if p.name[4:].isdecimal()}
    if not folders:
        return
    ended = Job.objects.filter(pk__in=list(folders), state__in=sorted(TERMINAL))
    for pk in ended.values_list("pk", flat=True):
        shutil.rmtree(folders[pk], ignore_errors=True)


@dataclass
class Batch:
    """What was read since the last time, sorted by kind."""

    offset: int
    lines: list[tuple[str, str, str, str]] = field(default_factory=list)
    metrics: list[tuple[str, int, float, str]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    ready: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    outcome: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(
            self.lines
            or self.metrics
            or self.progress
            or self.checkpoints
            or self.ready
            or self.environment
            or self.outcome
        )


class Spool:
    """Reads the events file of one attempt from an offset on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset

    @classmethod
    def leftovers(cls, job: Job) -> "list[tuple[int, Spool]]":
        """Spools of earlier attempts on this node that were not stored to their end."""
        found = []
        earlier = JobAttempt.objects.filter(job=job, epoch__lt=job.epoch).order_by("epoch")
        for epoch, offset in earlier.values_list("epoch", "spool_offset"):
            path = attempt_folder(job.pk, epoch) / "events.jsonl"
            if path.exists() and path.stat().st_size > offset:
                found.append((epoch, cls(path, offset)))
        return found

    def read(self, *, final: bool = False) -> Batch:
        """The next complete lines; with `final` also a last one without its line break."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                data = stream.read(READ)
        except FileNotFoundError:
            return Batch(self.offset)
        end = data.rfind(b"\n") + 1
        if end == 0 and (final or len(data) == READ):
            end = len(data)
        rows = data[:end].split(b"\n")
        if end and data[end - 1 : end] == b"\n":
            rows.pop()
        batch = Batch(self.offset)
        for row in rows:
            # An event counts once; a line is cut into parts only on its way into the store.
            sort_line(row, batch)
            batch.offset += len(row) + 1
            if len(batch.lines) >= MAX_LINES:
                break
        else:
            batch.offset = self.offset + end
        return batch

    def done(self, batch: Batch) -> None:
        """The batch is stored."""
        self.offset = batch.offset


def sort_line(row: bytes, batch: Batch) -> None:
    """Put one line of the spool where it belongs."""
    event: Any = None
    if row.startswith(b'{"t":'):
        try:
            event = json.loads(row)
        except ValueError:
            event = None
    if not isinstance(event, dict):
        if row.strip():
            text = row.decode("utf-8", "replace")
            batch.lines.extend((stamp(), "stderr", "warning", part) for part in parts(text))
        return
    kind = event.pop("t")
    if kind == "log":
        head = (event["at"], event["stream"], event["level"])
        batch.lines.extend((*head, part) for part in parts(event["text"]))
    elif kind == "metric":
        at, step = event["at"], event["step"]
        batch.metrics.extend((name, step, float(v), at) for name, v in event["values"].items())
    elif kind == "progress":
        batch.progress.update({k: v for k, v in event.items() if v is not None})
    elif kind == "checkpoint":
        batch.checkpoints.append(event)
    elif kind in ("ready", "environment"):
        setattr(batch, kind, event["data"])
    else:
        batch.outcome = {"kind": kind, **event}


def parts(text: str) -> list[str]:
    """A text as lines to store: none longer than MAX_LINE, no NUL, progress bars collapsed."""
    text = text.replace("\x00", "\u2400").encode("utf-8", "replace").decode()
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [
        line[start : start + MAX_LINE]
        for line in lines
        for start in range(0, max(1, len(line)), MAX_LINE)
    ]
