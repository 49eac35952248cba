"""The weights of the best look, for a training that is to publish them.

They lie in a folder beside the checkpoints, and every checkpoint carries them under names of its
own: so they are there wherever the training goes on, and whichever checkpoints are kept.
"""

import os
import shutil
import uuid
from pathlib import Path

from transformers import PreTrainedModel

from workers.lm.errors import CorruptCheckpoint
from workers.lm.training.parallel import Alone

PREFIX = "best."


class Best:
    """Keeps the best weights; on the main process alone there are files."""

    def __init__(self, folder: Path, attempt: int, model: PreTrainedModel, parallel: Alone) -> None:
        self._folder, self._attempt = folder, attempt
        self._model, self._parallel = model, parallel
        self._kept: Path | None = None
        self._outdated: list[Path] = []

    def take(self, step: int) -> None:
        """These are the best so far; every process calls it."""
        if not self._parallel.is_main:
            self._parallel.give_model(self._model)
            self._parallel.after_main()
            return
        place = self._place(step)
        self._parallel.save_model(self._model, place)
        self._drop()
        self._kept = place
        self._parallel.after_main()

    def resume(self, checkpoint: Path, step: int) -> None:
        """Go on with those that a checkpoint carries; only at the main process."""
        self._drop()
        found = sorted(checkpoint.glob(f"{PREFIX}*"))
        if found:
            place = self._place(step)
            for file in found:
                _link(file, place / file.name.removeprefix(PREFIX))
            self._kept = place

    def files(self) -> list[Path]:
        """What a checkpoint of now is to carry; it stays as it is until `tidy`."""
        return sorted(self._kept.iterdir()) if self._kept else []

    def tidy(self) -> None:
        """No checkpoint is being written: what was the best before may go."""
        while self._outdated:
            shutil.rmtree(self._outdated.pop(), ignore_errors=True)

    def restore(self) -> None:
        """Put the best weights back into the model; every process calls it.

        Raises CorruptCheckpoint if there are none.
        """
        place = self._parallel.of_main(self._kept)
        if place is None:
            raise CorruptCheckpoint("The checkpoint does not hold the best weights of its course.")
        self._parallel.restore_model(self._model, place)
        self._parallel.any(False)  # nobody still reads what `close` removes

    def close(self) -> None:
        """Remove the folder; checkpoints keep what they carry."""
        self._drop()
        self.tidy()

    def _place(self, step: int) -> Path:
        # Named like an unfinished checkpoint, so that the next attempt sweeps it away.
        name = f"step-{step:06d}.a{self._attempt}.tmp-best{uuid.uuid4().hex[:8]}"
        place = self._folder / name
        place.mkdir(parents=True)
        return place

    def _drop(self) -> None:
        self._outdated += [self._kept] if self._kept else []
        self._kept = None


def carry(files: list[Path], folder: Path) -> None:
    """Lay the best weights into a checkpoint that is being written; it costs no disk."""
    for file in files:
        _link(file, folder / f"{PREFIX}{file.name}")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
