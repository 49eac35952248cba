"""The spool: what a child process says, in one append-only file, durable before it is stored.

`<data>/spool/job-7/a2/events.jsonl` belongs to attempt 2 of job 7, that in `a2.1` to its part 1 on
another node. A line is JSON with a `t` (log, metric, progress, sample, checkpoint, ready,
report, environment, result, failed, stopped), or any other text: that came from the C side of the
process and counts as a line of its stderr.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.jobs.models import Job, JobAttempt
from workers.events import Batch, sort_line
from workers.masking import KEY_LINES, Masker, begins_inside_key, secrets_given

READ = 2 << 20
#: An event is never cut, unless it is larger than this.
MAX_EVENT = 64 << 20
MAX_LINES = 8192
EVENT = b'{"t":'
LOOK_BACK = 16 << 10


def spool_root() -> Path:
    return Path(settings.DATA_DIR) / "spool"


def job_folder(job_id: int) -> Path:
    """Everything of a job on this node; gone after its end."""
    return spool_root() / f"job-{job_id}"


def attempt_folder(job_id: int, epoch: int, part: int = 0) -> Path:
    """Of one attempt, or of one part of it: nodes that share a disk must not share this."""
    return job_folder(job_id) / (f"a{epoch}.{part}" if part else f"a{epoch}")


def work_folder(job_id: int, part: int = 0) -> Path:
    """Where a job keeps what its later attempts need again; each part of it for itself."""
    return job_folder(job_id) / (f"work.{part}" if part else "work")


class Spool:
    """Reads the events file of one attempt from an offset on; what it gives out is masked."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset
        self.masker = Masker()
        self._masked_to = 0

    @classmethod
    def leftovers(cls, job: Job) -> "list[tuple[int, Spool]]":
        """Spools of earlier attempts on this node that are not known to be stored to their end."""
        found = []
        earlier = JobAttempt.objects.filter(job=job, epoch__lt=job.epoch).order_by("epoch")
        for epoch, offset, whole in earlier.values_list("epoch", "spool_offset", "log_complete"):
            folder = attempt_folder(job.pk, epoch)
            spool = cls(folder / "events.jsonl", offset)
            if folder.exists() and (not whole or spool.size() > offset):
                found.append((epoch, spool))
        return found

    def size(self) -> int:
        """Bytes in the file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, *, final: bool = False) -> Batch:
        """The next complete lines; with `final` also a last one without its line break."""
        batch = Batch(self.offset)
        data, end, more = self._bytes(final)
        rows = data[:end].split(b"\n")
        if end and data[end - 1 : end] == b"\n":
            rows.pop()
        if not end:
            return batch
        self._prepare()
        events = _events(rows)
        masker = self.masker if self.masker.look("\n".join(_said(rows, events))) else None
        for row, event in zip(rows, events, strict=True):
            # An event counts once; a line is cut into parts only on its way into the store.
            sort_line(row, event, batch, masker)
            batch.offset += len(row) + 1
            if len(batch.lines) >= MAX_LINES:
                break
        batch.more = more or batch.offset < self.offset + end
        batch.offset = min(batch.offset, self.offset + end)
        self._masked_to = batch.offset
        return batch

    def done(self, batch: Batch) -> None:
        """The batch is stored."""
        self.offset = batch.offset

    def _bytes(self, final: bool) -> tuple[bytes, int, bool]:
        """What to look at: (bytes, how many of them are whole lines, whether more follow)."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                data = stream.read(READ)
                full = len(data) == READ
                if full and b"\n" not in data and data.startswith(EVENT):
                    data += stream.read(MAX_EVENT - READ)
                    full = len(data) == MAX_EVENT
        except FileNotFoundError:
            return b"", 0, False
        end = data.rfind(b"\n") + 1
        if end == 0 and (final or full):
            end = _whole(data) if full else len(data)
        # At the very end, what follows the last line break is the last line: read it next.
        return data, end, full or (final and end < len(data))

    def _prepare(self) -> None:
        if not self.masker.known:
            self.masker.know(secrets_given(self.path.parent))
        if self._masked_to == self.offset:
            return
        # We go on where another left off: perhaps in the middle of a private key.
        with self.path.open("rb") as stream:
            start = max(0, self.offset - LOOK_BACK)
            stream.seek(start)
            inside = begins_inside_key(stream.read(self.offset - start))
        self.masker.key_lines = KEY_LINES if inside else 0


def _whole(data: bytes) -> int:
    """How many bytes end with a whole UTF-8 character; all, if they are no UTF-8."""
    for back in range(1, 4):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            need = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if need > back else len(data)
        if byte & 0xC0 != 0x80:
            break
    return len(data)


def _events(rows: list[bytes]) -> list[Any]:
    """The event of each line, or None; all are parsed at once where all are events."""
    if all(row.startswith(EVENT) for row in rows):
        try:
            events = json.loads(b"[" + b",".join(rows) + b"]")
            if len(events) == len(rows):
                return list(events)
        except ValueError:
            pass
    return [_event(row) for row in rows]


def _said(rows: list[bytes], events: list[Any]) -> Iterable[str]:
    """Everything in which a secret may stand."""
    for row, event in zip(rows, events, strict=True):
        if not isinstance(event, dict):
            yield row.decode("utf-8", "replace")
        elif isinstance(text := event.get("text", event.get("message")), str):
            yield text
            if isinstance(prompt := event.get("prompt"), str):
                yield prompt
        else:
            # Perhaps it turns out to be no event of ours: then its bytes are the line.
            yield row.decode("utf-8", "replace")


def _event(row: bytes) -> Any:
    if not row.startswith(EVENT):
        return None
    try:
        return json.loads(row)
    except ValueError:
        return None
