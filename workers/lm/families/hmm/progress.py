"""How far a training has come: enough to go on from, to the bit."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workers.lm.durable import flush_file
from workers.lm.errors import CorruptCheckpoint
from workers.lm.families.hmm.parameters import Parameters

_DESCRIPTION, _ARRAYS = "progress.json", "progress.safetensors"
_NAMES = ("start", "transitions", "emissions")


@dataclass(frozen=True)
class HmmProgress:
    """The state after an iteration.

    `histories` has a row for every restart so far: nats a token before each of its iterations.
    `parameters` are those after the last one; `best` are those of the best restart that has
    ended, if any. `task` tells which training it belongs to.
    """

    task: dict[str, Any]
    histories: tuple[tuple[float, ...], ...]
    parameters: Parameters
    best: Parameters | None
    best_restart: int | None

    @property
    def restart(self) -> int:
        """The number of the restart under way, from 0."""
        return len(self.histories) - 1

    @property
    def iteration(self) -> int:
        """How many iterations of this restart are done."""
        return len(self.histories[-1])

    @property
    def log_likelihood(self) -> float:
        """Nats a token, as the last iteration found them; less than 0, and the more the better."""
        return self.histories[-1][-1]

    def save(self, folder: Path) -> None:
        """Write two files into an existing folder and flush them to the disk."""
        arrays = {f"parameters.{name}": getattr(self.parameters, name) for name in _NAMES}
        if self.best is not None:
            arrays |= {f"best.{name}": getattr(self.best, name) for name in _NAMES}
        save_file(arrays, folder / _ARRAYS)
        description = {
            "task": self.task, "histories": self.histories, "best_restart": self.best_restart,
        }  # fmt: skip
        (folder / _DESCRIPTION).write_text(json.dumps(description) + "\n")
        flush_file(folder / _ARRAYS)
        flush_file(folder / _DESCRIPTION)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises CorruptCheckpoint with the reason."""
        try:
            description = json.loads((folder / _DESCRIPTION).read_text())
            arrays = load_file(folder / _ARRAYS)
            best_restart = description["best_restart"]
            present, best = (
                None
                if part == "best" and best_restart is None
                else Parameters(*(arrays[f"{part}.{name}"] for name in _NAMES))
                for part in ("parameters", "best")
            )
            histories = tuple(tuple(map(float, row)) for row in description["histories"])
            task = dict(description["task"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CorruptCheckpoint(f"The progress cannot be read: {error!r}"[:300]) from error
        if present is None or not histories or not histories[-1]:
            raise CorruptCheckpoint("The progress has no iteration.")
        return cls(task, histories, present, best, best_restart)
