"""A training that kills its own process, run by the tests in a process of its own."""

import os
import signal
import sys
from pathlib import Path

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.settings import run_training, tiny_spec
from workers.lm.training import saving


class Deadly(Recorder):
    """Kills when the loop asks, before the given step, whether to go on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def should_stop(self) -> bool:
        if self.series("loss") and max(self.series("loss")) >= self._step:
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def kill_while_saving(second: int) -> None:
    """Make the given checkpoint's writing end half-way."""
    calls = []
    save = saving.save_file

    def deadly_save(tensors, path):  # type: ignore[no-untyped-def]
        calls.append(path)
        save(tensors, path)
        if len(calls) == 2 * second - 1:  # the optimiser is written, the generators are not
            os.kill(os.getpid(), signal.SIGKILL)

    saving.save_file = deadly_save  # type: ignore[assignment]


if __name__ == "__main__":
    root, how, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if how == "saving":
        kill_while_saving(number)
    spec = tiny_spec(checkpoint_in_background=sys.argv[4])
    run_training(root, Deadly(number if how == "step" else 10**9), spec)
