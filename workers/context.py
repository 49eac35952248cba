"""What a running job says, line by line into its spool; see models_app.jobs.kind.JobContext."""

import errno
import io
import json
import math
import os
import threading
from pathlib import Path
from typing import Any

from models_app.core.clock import stamp
from models_app.jobs.kind import JobFailed, JobStopped

#: Characters of one log event: far below what the supervisor reads at once.
MAX_EVENT = 1 << 16
#: Characters of an unfinished line beyond which what was overwritten in it is forgotten.
MAX_REST = 1 << 12


class Context:
    """The JobContext of a child process. Each call appends one line to a file."""

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.epoch: int = job["epoch"]
        self.meeting: dict[str, Any] | None = job.get("meeting")
        self.work_dir = Path(job["work_dir"])
        self.checkpoint_dir = Path(job["checkpoint_dir"])
        self.output_dir = Path(job["output_dir"])
        for path in (self.work_dir, self.checkpoint_dir, self.output_dir):
            path.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._writing, self._torn = threading.Lock(), False

    def say(self, kind: str, **fields: Any) -> None:
        """Append one event. Raises OSError on a full disk; the next event then begins a line."""
        line = json.dumps({"t": kind, **fields}, ensure_ascii=True, default=str) + "\n"
        with self._writing:
            rest = (b"\n" if self._torn else b"") + line.encode()
            self._torn = True
            while rest:
                # A disk that is nearly full takes a part, and half a line would swallow the next.
                rest = rest[os.write(self._fd, rest) :]
            self._torn = False

    def log(self, text: str, level: str = "info", stream: str = "job") -> None:
        text = str(text)
        for start in range(0, max(1, len(text)), MAX_EVENT):
            part = text[start : start + MAX_EVENT]
            self.say("log", at=stamp(), stream=stream, level=level, text=part)

    def metric(self, step: int, values: dict[str, float]) -> None:
        finite = {name: float(v) for name, v in values.items() if math.isfinite(float(v))}
        if finite:
            self.say("metric", at=stamp(), step=int(step), values=finite)

    def progress(
        self,
        *,
        step: int | None = None,
        total: int | None = None,
        stage: str | None = None,
        percent: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        if percent is None and step is not None and total:
            percent = 100.0 * step / total
        self.say(
            "progress", step=step, total_steps=total, stage=stage, percent=percent, eta_s=eta_s
        )

    def checkpoint(
        self, *, step: int, path: str, digest: str, size_bytes: int, metrics: dict[str, float]
    ) -> None:
        self.say(
            "checkpoint",
            step=step,
            path=path,
            digest=digest,
            size_bytes=size_bytes,
            metrics=metrics,
        )

    def sample(self, *, step: int, place: int, prompt: str, text: str) -> None:
        self.say("sample", at=stamp(), step=int(step), place=int(place), prompt=prompt, text=text)

    def ready(self, data: dict[str, Any]) -> None:
        self.say("ready", data=data)

    def report(self, data: dict[str, Any]) -> None:
        self.say("report", data=data)

    def environment(self, data: dict[str, Any]) -> None:
        """The record of packages, system and threads that the attempt keeps."""
        self.say("environment", data=data)

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def should_hurry(self) -> bool:
        return self._hurry.is_set()

    def stop(self) -> None:
        """A polite stop was asked for."""
        self._stop.set()

    def hurry(self) -> None:
        """It has to stop within the general grace period, whatever its kind allows."""
        self._stop.set()
        self._hurry.set()

    def arm(self) -> None:
        """Called when the kind is about to run; says so once."""
        self.log("The job's process is ready.", level="debug", stream="slipway")

    def failed(self, error: BaseException, trace: str) -> int:
        """Report how the run ended without a result; returns the exit status."""
        if isinstance(error, JobStopped):
            self.say("stopped", message=str(error))
            return 0
        if isinstance(error, JobFailed):
            self.log(error.message, level="error")
            self.say(
                "failed",
                message=error.message,
                reason=error.reason,
                field=error.field,
                permanent=error.permanent,
            )
            return 1
        self.log(trace, level="error", stream="stderr")
        self.say("failed", **_classify(error))
        return 1


def _classify(error: BaseException) -> dict[str, Any]:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in message:
        return {
            "message": "Out of memory. Use a smaller batch, a shorter sequence or a smaller model.",
            "reason": "oom",
            "permanent": True,
        }
    # EFBIG: a single file as large as all the disk that the job may take.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return {"message": "The disk is full.", "reason": "disk_full", "permanent": False}
    return {"message": message[:2000], "reason": "user_code", "permanent": True}


class Tee(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr in a child: whole lines go into the log."""

    def __init__(self, ctx: Any, stream: str) -> None:
        self.ctx, self.stream, self._rest = ctx, stream, ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            if len(rest) > MAX_REST:
                # A progress bar without an end writes over itself: what counts is what one sees.
                rest = rest[:-1].rsplit("\r", 1)[-1] + rest[-1:]
            if len(rest) > MAX_EVENT:
                lines, rest = [*lines, rest], ""
            self._rest = rest
        level = "warning" if self.stream == "stderr" else "info"
        for line in lines:
            if line.strip():
                self.ctx.log(line, level=level, stream=self.stream)
        return len(text)

    def flush(self) -> None:
        """A progress bar flushes unfinished lines all the time: they wait for their end."""
