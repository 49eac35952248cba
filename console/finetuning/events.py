"""What happened in a fine-tuning: the lines of its job's log, figures told as figures."""

import datetime as dt
import re
from typing import Any

from models_app.finetuning.models import Tuning
from models_app.finetuning.selectors import tuning_job
from models_app.finetuning.states import TuningState
from models_app.jobs.logs import log_list

#: `step 12/40  loss 2.3456  lr 0.0002 …` and `step 20  validation loss 2.1`, as trainings write.
_STEP = re.compile(r"step ([\d,]+)/([\d,]+)  loss ([\d.]+|nan|inf)")
_LOOK = re.compile(r"step ([\d,]+)  validation loss ([\d.]+)")
_LEVELS = {"warning": "warn", "error": "error"}


def events_of(row: Tuning, *, before: int | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """The newest events whose number is below `before`, and whether there are older ones."""
    job = tuning_job(row)
    if job is None:
        found = [_own(row)] if before is None or before > 0 else []
        return found[:limit], False
    last = job.log_seq if before is None else min(job.log_seq, before - 1)
    first = max(0, last - limit)
    lines = log_list(job=job, after=first, limit=max(0, last - first)) if last > 0 else []
    events = [_line(row, *line) for line in reversed(lines)]
    if first > 0 or (not events and last <= 0):
        return events, first > 0
    if len(events) < limit and (before is None or before > 0):
        events.append(_own(row))
    return events, False


def number_of(row: Tuning, event: str) -> int | None:
    """The number in an event's name; None if it is none of this fine-tuning's."""
    beginning, _dash, number = event.rpartition("-")
    fits = beginning == f"ftevent-{row.pk}" and number.isdecimal() and len(number) < 16
    return int(number) if fits else None


def _own(row: Tuning) -> dict[str, Any]:
    """What happened before there was a log."""
    failed = row.state == TuningState.FAILED
    text = row.error["message"] if failed else f"Created fine-tuning job: {row.key}"
    return _event(row, 0, int(row.created_at.timestamp()), "error" if failed else "info", text)


def _line(
    row: Tuning, seq: int, at: str, epoch: int, stream: str, level: str, text: str
) -> dict[str, Any]:
    when = int(dt.datetime.fromisoformat(at).timestamp())
    event = _event(row, seq, when, _LEVELS.get(level, "info"), text)
    return {**event, **_figures(text)}


def _figures(text: str) -> dict[str, Any]:
    if found := _STEP.match(text):
        step, total, loss = found.groups()
        data = {"step": _whole(step), "total_steps": _whole(total), "train_loss": float(loss)}
    elif found := _LOOK.match(text):
        step, loss = found.groups()
        data = {"step": _whole(step), "valid_loss": float(loss)}
    else:
        return {}
    return {"type": "metrics", "data": data}


def _whole(text: str) -> int:
    return int(text.replace(",", ""))


def _event(row: Tuning, number: int, at: int, level: str, text: str) -> dict[str, Any]:
    return {
        "id": f"ftevent-{row.pk}-{number}",
        "object": "fine_tuning.job.event",
        "created_at": at,
        "level": level,
        "message": text,
        "type": "message",
        "data": None,
    }
