"""Events that remember what they were told, and small corpora for tests."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

WORDS = "the ship sails over a calm sea while old sailors sing of far harbours and bright stars"


class Recorder:
    """Takes all events; asks to stop once `stop_after` questions were asked."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.lines: list[tuple[str, str]] = []
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.progresses: list[dict[str, Any]] = []
        self.checkpoints: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []
        self._left = stop_after

    def log(self, text: str, level: str = "info") -> None:
        self.lines.append((level, text))

    def metric(self, step: int, values: dict[str, float]) -> None:
        self.metrics.append((step, values))

    def progress(self, **values: Any) -> None:
        self.progresses.append(values)

    def checkpoint(self, **values: Any) -> None:
        self.checkpoints.append(values)

    def sample(self, **values: Any) -> None:
        self.samples.append(values)

    def should_stop(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0

    def series(self, name: str) -> dict[int, float]:
        """One metric by step."""
        return {step: values[name] for step, values in self.metrics if name in values}

    @property
    def stages(self) -> list[str]:
        """The stages in the order they were entered."""
        return list(dict.fromkeys(values["stage"] for values in self.progresses))


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences with some order in them for a model to find."""
    source = random.Random(seed)
    words = WORDS.split()
    found = []
    for _ in range(count):
        start = source.randrange(len(words))
        picked = [words[(start + step) % len(words)] for step in range(source.randrange(6, 14))]
        found.append(" ".join(picked).capitalize() + ".")
    return found


def write_documents(path: Path, texts: Iterable[str]) -> Path:
    """A JSON-lines file with one document for each text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path
