"""What a line of the spool means: a line of the log, a metric, progress, the outcome, …"""

import re
from dataclasses import dataclass, field
from typing import Any

from models_app.core.clock import stamp
from models_app.jobs.log_chunks import LEVELS, Line
from models_app.jobs.logs import MAX_LINE
from workers.masking import Masker

TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,15}(?:Z|\+00:00)")


@dataclass
class Batch:
    """What was read since the last time, sorted by kind."""

    offset: int
    #: There is more to be read at once.
    more: bool = False
    lines: list[Line] = field(default_factory=list)
    metrics: list[tuple[str, int, float, str]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    ready: dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    environment: dict[str, Any] | None = None
    outcome: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(
            self.lines
            or self.metrics
            or self.progress
            or self.samples
            or self.checkpoints
            or self.ready
            or self.report
            or self.environment
            or self.outcome
        )


def sort_line(row: bytes, event: Any, batch: Batch, masker: Masker | None = None) -> None:
    """Put one line of the spool where it belongs."""
    try:
        if isinstance(event, dict):
            sort_event(event, batch, masker)
            return
    except (KeyError, TypeError, ValueError, AttributeError):
        # Whatever it is, it is no event of ours: somebody may want to read it.
        pass
    if row.strip():
        text = row.decode("utf-8", "replace")
        text = masker.mask(text) if masker else text
        batch.lines.extend((stamp(), "stderr", "warning", part) for part in parts(text))


def sort_event(event: dict[str, Any], batch: Batch, masker: Masker | None) -> None:
    """Put one event where it belongs."""
    kind = event.pop("t")
    if kind == "log":
        at, stream, level, text = event["at"], event["stream"], event["level"], event["text"]
        if masker:
            text = masker.mask(text)
        if len(at) != 24 or not TIME.fullmatch(at):
            at = stamp()
        head = (at, str(stream)[:20], level if level in LEVELS else "info")
        batch.lines.extend((*head, part) for part in parts(text))
    elif kind == "metric":
        at, step = event["at"], int(event["step"])
        batch.metrics.extend((name, step, float(v), at) for name, v in event["values"].items())
    elif kind == "progress":
        batch.progress.update({k: v for k, v in event.items() if v is not None})
    elif kind == "sample":
        batch.samples.append(_sample(event, masker))
    elif kind == "checkpoint":
        batch.checkpoints.append(event)
    elif kind in ("ready", "report", "environment"):
        setattr(batch, kind, event["data"])
    else:
        if masker and isinstance(event.get("message"), str):
            event["message"] = masker.mask(event["message"])
        batch.outcome = {"kind": kind, **event}


def _sample(event: dict[str, Any], masker: Masker | None) -> dict[str, Any]:
    """A text that a model wrote, with its prompt, as it can be stored."""
    said = {
        name: storable(masker.mask_alone(event[name]) if masker else event[name])
        for name in ("prompt", "text")
    }
    return {"step": int(event["step"]), "place": int(event["place"]), "at": event["at"], **said}


def parts(text: str) -> list[str]:
    """A text as lines to store: none longer than MAX_LINE, no NUL, progress bars collapsed."""
    if len(text) <= MAX_LINE and text.isascii() and text.isprintable():
        return [text]
    text = storable(text)
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [
        line[start : start + MAX_LINE]
        for line in lines
        for start in range(0, max(1, len(line)), MAX_LINE)
    ]


def storable(text: str) -> str:
    """A text as the database takes it: no NUL, no half of a pair."""
    return text.replace("\x00", "\u2400").encode("utf-8", "replace").decode()
