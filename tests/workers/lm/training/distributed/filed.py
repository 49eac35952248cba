"""Events that several processes write into one file."""

import json
import os
from pathlib import Path
from typing import Any

from tests.workers.lm.recording import Recorder


class FiledEvents:
    """Appends what it is told to a file, whole lines at a time, as a job's events are."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log(self, text: str, level: str = "info", **_: Any) -> None:
        self._say("log", text=text, level=level)

    def metric(self, step: int, values: dict[str, float]) -> None:
        self._say("metric", step=step, values=values)

    def progress(self, **values: Any) -> None:
        self._say("progress", **values)

    def checkpoint(self, **values: Any) -> None:
        self._say("checkpoint", **values)

    def sample(self, **values: Any) -> None:
        self._say("sample", **values)

    def should_stop(self) -> bool:
        return False

    def _say(self, kind: str, **values: Any) -> None:
        os.write(self._file, (json.dumps({"t": kind, **values}, default=str) + "\n").encode())


def recorded(path: Path) -> Recorder:
    """What was written, as if one process had been told it."""
    found = Recorder()
    for line in path.read_text().splitlines():
        event = json.loads(line)
        kind = event.pop("t")
        getattr(found, kind)(**event)
    return found
