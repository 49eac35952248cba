"""Writing the checkpoints of a training, in its loop or beside it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from workers.lm.errors import CorruptCheckpoint
from workers.lm.events import Events
from workers.lm.families.lora import weights_writer
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.training.best import Best, carry
from workers.lm.training.checkpoints import (
    Checkpoint,
    newest_valid_checkpoint,
    retain_checkpoints,
    verify_checkpoint,
    write_checkpoint,
)
from workers.lm.training.gathered import Gathered, save_file
from workers.lm.training.optimizer import OPTIMIZER, Tensors
from workers.lm.training.parallel import Alone
from workers.lm.training.preparation import Prepared
from workers.lm.training.progress import Progress
from workers.lm.training.report import Report
from workers.lm.training.rng import capture_rng, restore_rng, rng_file, seed_rank
from workers.lm.training.spec import TrainSpec


class Saver:
    """Writes one checkpoint at a time; the main process does, and the others give it their parts.

    In the background it copies weights and moments and goes back to the training, while a thread
    writes and flushes them, reads every byte again and only then tells of them; the next one
    waits for it. What went wrong there is raised by `check` or `wait`. Where the weights are
    divided (fsdp, tensor) they are put together by all processes as they are written, without
    anybody holding them all: there it is done in the loop whatever the settings say.
    """

    def __init__(
        self,
        spec: TrainSpec,
        model: PreTrainedModel,
        optimizer: torch.optim.Optimizer,
        data: Prepared,
        folder: Path,
        attempt: int,
        events: Events,
        report: Report,
        parallel: Alone,
    ) -> None:
        self._spec, self._model, self._optimizer, self._data = spec, model, optimizer, data
        self._folder, self._attempt = folder, attempt
        self._events, self._report, self._parallel = events, report, parallel
        self.background = parallel.holds_all and in_background(spec, model.device)
        self.best = Best(folder, attempt, model, parallel)
        #: The newest one of this attempt, and the step that was last saved or is being saved.
        self.saved: Checkpoint | None = None
        self.step: int | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, progress: Progress, manner: dict[str, Any]) -> None:
        """Keep the state of now; returns when it may change."""
        parallel = self._parallel
        self.wait()
        self.best.tidy()
        states = parallel.everyones(capture_rng())
        moments = parallel.optimizer_tensors(self._model, self._optimizer)
        self.step = progress.step
        if not parallel.is_main:
            parallel.give_model(self._model)
            if isinstance(moments, Gathered):
                moments.take_part()
            parallel.after_main()
            return
        state = self._state(progress, manner, [rest for _, rest in states])
        write = self._writing(progress, state, [tensors for tensors, _ in states], moments)
        if self.background:
            self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint")
            self._thread.start()
        else:
            write()
        parallel.after_main()

    def restore(self, checkpoint: Checkpoint) -> Progress:
        """Take up everything of a checkpoint but its weights; raises CorruptCheckpoint."""
        name, optimizer = checkpoint.path.name, self._optimizer
        optimizer.state.clear()
        try:
            self._parallel.restore_optimizer(self._model, optimizer, checkpoint.path / OPTIMIZER)
            progress = Progress(**checkpoint.state["progress"])
            self._restore_rng(checkpoint)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptCheckpoint(f"{name} cannot be continued: {error}") from error
        if self._spec.publish == "best" and progress.best_step is not None:
            self._restore_best(checkpoint, progress)
        return progress

    def newest_before(self, number: int) -> Checkpoint | None:
        """The checkpoint to go back to from a step, the same in all processes.

        One at a multiple of `checkpoint_every` if there is any: those that a training has left
        which was stopped on the way would not be there if it had not been.
        """
        every, found = self._spec.checkpoint_every, None
        self.wait()
        if self._parallel.is_main:
            found = newest_valid_checkpoint(
                self._folder, wanted=lambda step: step < number and step % every == 0
            ) or newest_valid_checkpoint(self._folder, wanted=lambda step: step < number)
        newest: Checkpoint | None = self._parallel.of_main(found)
        return newest

    def check(self) -> None:
        """Raise what went wrong in the background, if anything did; costs next to nothing."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Until nothing is being written; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def close(self) -> None:
        """The training ends for a reason of its own: let the last one be finished."""
        if self._thread is not None:
            self._thread.join()
        self.best.close()

    def _restore_rng(self, checkpoint: Checkpoint) -> None:
        """Each process goes on with its own random numbers; with others, they begin anew."""
        rest = [checkpoint.state["rng"], *checkpoint.state.get("rng_of_others", ())]
        rank, world = self._parallel.rank, self._parallel.world
        if len(rest) == world:
            restore_rng(load_file(checkpoint.path / rng_file(rank)), rest[rank])
            return
        seed_rank(self._spec.seed + checkpoint.step, self._parallel.data_rank)
        if self._spec.dropout:
            self._report.log(
                f"The checkpoint was written by {len(rest)} processes and {world} "
                "go on: what is dropped out differs from an undisturbed training.",
                "warning",
            )

    def _restore_best(self, checkpoint: Checkpoint, progress: Progress) -> None:
        """The best weights so far, if the checkpoint carries them or is them."""
        assert progress.best_step is not None
        if self._parallel.is_main:
            self.best.resume(checkpoint.path, progress.best_step)
        if self._parallel.of_main(bool(self.best.files())):
            return
        if progress.best_step == progress.step:
            self.best.take(progress.step)
            return
        self._report.log(
            f"The weights of the best look, at step {progress.best_step:,}, were not kept: the "
            "best from here on counts.", "warning",
        )  # fmt: skip
        progress.best_loss = progress.best_step = None

    def _state(
        self, progress: Progress, manner: dict[str, Any], rngs: list[dict[str, Any]]
    ) -> dict[str, Any]:
        state: dict[str, Any] = {
            "progress": progress.to_dict(),
            "rng": rngs[0],
            "spec": self._spec.to_dict(),
            "manner": manner,
            "data": {
                "train": self._data.train.fingerprint,
                "validation": self._data.validation.fingerprint,
            },
        }
        if self._parallel.world > 1:
            state["rng_of_others"] = rngs[1:]
        return state

    def _writing(
        self,
        progress: Progress,
        state: dict[str, Any],
        rngs: list[Tensors],
        moments: Tensors | Gathered,
    ) -> Callable[[], None]:
        """What writes the checkpoint of now, whenever it is called."""
        model, best = self._model_writer(), self.best.files()
        if self.background and isinstance(moments, dict) and self._model.device.type == "cpu":
            moments = {name: tensor.clone() for name, tensor in moments.items()}
        step, metrics = progress.step, progress.metrics()

        def fill(folder: Path) -> None:
            model(folder)
            save_tokenizer(self._data.tokenizer, folder)
            save_file(moments, folder / OPTIMIZER)
            for rank, tensors in enumerate(rngs):
                save_file(tensors, folder / rng_file(rank))
            carry(best, folder)

        def write() -> None:
            saved = write_checkpoint(
                self._folder, step=step, attempt=self._attempt, metrics=metrics, state=state,
                fill=fill,
            )  # fmt: skip
            if self.background:
                verify_checkpoint(saved.path, saved.digest)
            self.saved = saved
            self._tell(saved)

        return write

    def _model_writer(self) -> Callable[[Path], None]:
        if self.background:
            return weights_writer(self._model, copied=True)
        return lambda folder: self._parallel.save_model(self._model, folder)

    def _tell(self, saved: Checkpoint) -> None:
        self._events.checkpoint(
            step=saved.step,
            path=saved.path,
            digest=saved.digest,
            size_bytes=saved.size_bytes,
            metrics=saved.metrics,
        )
        spec = self._spec
        every = spec.checkpoint_every if spec.on_divergence == "rewind" else None
        for path in retain_checkpoints(self._folder, spec.keep_checkpoints, every):
            self._report.log(f"Removed checkpoint {path.name}.", "debug")

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            self._error = error


def in_background(spec: TrainSpec, device: torch.device) -> bool:
    """Whether checkpoints are written beside the training.

    On a processor the writing takes time from the same cores and the copy memory from the same
    machine; an accelerator goes on while the processor writes.
    """
    if spec.checkpoint_in_background == "auto":
        return device.type != "cpu"
    return spec.checkpoint_in_background == "on"
