"""The training loop: steps; and in between measure, save, go back, stop."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from workers.lm.compute.devices import memory_in_use
from workers.lm.errors import Stopped, TrainingDiverged, what_is_wrong
from workers.lm.events import Events
from workers.lm.families.lora import trainable
from workers.lm.training.checkpoints import Checkpoint
from workers.lm.training.divergence import GoBack, Reading, within_budget
from workers.lm.training.losses import validation_loss
from workers.lm.training.manner import Manner
from workers.lm.training.masking import batches_for
from workers.lm.training.observing import Observing
from workers.lm.training.parallel import Alone
from workers.lm.training.patience import count_look, has_lost_patience, why_ended
from workers.lm.training.preparation import Prepared
from workers.lm.training.progress import Progress
from workers.lm.training.report import Report
from workers.lm.training.rng import seed_rank
from workers.lm.training.saving import Saver
from workers.lm.training.spec import TrainSpec
from workers.lm.training.steps import Steps


class Trainer:
    """Carries one model from its present step to the last, or to where it no longer improves."""

    def __init__(
        self,
        spec: TrainSpec,
        manner: Manner,
        model: PreTrainedModel,
        data: Prepared,
        checkpoint_dir: Path,
        attempt: int,
        events: Events,
        report: Report,
        parallel: Alone | None = None,
        speed: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec, self.manner, self.model, self.data = spec, manner, model, data
        self.parallel = parallel or Alone()
        self.parameters = (
            trainable(model)
            if spec.lora_rank
            else sum(weight.numel() for weight in model.parameters())
        )
        self.progress = Progress()
        self._folder, self._attempt = checkpoint_dir, attempt
        self._events, self._report = events, report
        batches, self._validation = batches_for(spec, data, self.parallel)
        self._steps = Steps(spec, manner, model, batches, self.parallel)
        self.saver = Saver(
            spec, model, self._steps.optimizer, data, checkpoint_dir, attempt, events, report,
            self.parallel,
        )  # fmt: skip
        self._resumed = False
        self._norm = math.nan
        self._tokens_per_step = spec.batch_size * spec.sequence_length
        self._timed_steps, self._timed_s = 0, 0.0
        self._observing = Observing(
            spec, model, data.tokenizer, self.parallel, events, report, speed, manner.precision
        )
        seed_rank(spec.seed, self.parallel.data_rank)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on exactly where a checkpoint was taken; the model holds its weights already."""
        self._take_up(checkpoint)
        if checkpoint.path.parent == self._folder:
            self._resumed = True
            if checkpoint.attempt == self._attempt:
                self.saver.saved, self.saver.step = checkpoint, checkpoint.step

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Everything of a checkpoint but its weights."""
        self.progress = self.saver.restore(checkpoint)
        self._steps.forget(self.progress)
        self._report.step = self.progress.step

    def run(self, folders: tuple[Path, Path]) -> Progress:
        """Train to the end; raises Stopped or TrainingDiverged.

        `folders` are the job's and the node's, for what is compiled and measured.
        """
        self.model.train()
        self.manner = self._steps.settle_manner(self.progress, folders, self._report)
        self._report.stage("training")
        try:
            self._begin()
            self._go()
            self._end()
        finally:
            self.saver.close()
        return self.progress

    def _begin(self) -> None:
        first = self.progress.step == 0 and self.progress.validation_loss is None
        if first and self.spec.evaluate_every:
            self._evaluate()
        if self.spec.on_divergence == "rewind" and not self._resumed:
            self._save()  # there is always something to go back to

    def _go(self) -> None:
        since = time.perf_counter()
        while not self._is_over():
            try:
                if self.parallel.any(self._events.should_stop()):
                    self._stop(since)
                self.saver.check()
                self._steps.take(self.progress)
                self._report.step = self.progress.step
                if self._boundary():
                    self._settle(time.perf_counter() - since)
                    since = time.perf_counter()
                else:
                    self._report.steps(self._eta_s())
            except GoBack as trouble:
                self._go_back(trouble)
                since = time.perf_counter()

    def _end(self) -> None:
        """After the last step: everything is written, and the model holds what is published."""
        self.saver.wait()
        if self.progress.train_loss is None:
            raise TrainingDiverged(self.progress.step, "loss")
        if self.progress.step < self.spec.steps:
            self._report.ends_here()
            if self.parallel.is_main:
                self._report.log(why_ended(self.spec, self.progress))
        if self.spec.publish == "best" and self.progress.best_step != self.progress.step:
            self.saver.best.restore()
            self._report.log(f"Publishing the weights of step {self.progress.best_step:,}.")

    def _is_over(self) -> bool:
        return self.progress.step >= self.spec.steps or has_lost_patience(self.spec, self.progress)

    def _boundary(self) -> bool:
        """Whether anything is to be looked at or written after this step."""
        step, spec = self.progress.step, self.spec
        every = (spec.log_every, spec.evaluate_every, spec.checkpoint_every)
        return step == spec.steps or any(count and step % count == 0 for count in every)

    def _settle(self, elapsed: float) -> None:
        """Look at the steps since the last time; log, validate and save what is due."""
        step, spec = self.progress.step, self.spec
        steps = step - self._steps.pending.first
        self._look(elapsed)
        last = step == spec.steps
        if (last or step % spec.log_every == 0) and self.progress.train_loss is not None:
            self._log(steps, max(elapsed, 1e-9))
        if last or (spec.evaluate_every and step % spec.evaluate_every == 0):
            self._evaluate()
        if spec.checkpoint_every and (self._is_over() or step % spec.checkpoint_every == 0):
            self._save()
        self._report.steps(self._eta_s(), force=step % spec.log_every == 0)

    def _look(self, elapsed: float) -> None:
        """Read the pending figures; what is wrong with a step is dealt with here."""
        readings = self._steps.look(self.progress)
        self.progress.seconds += elapsed
        self._timed_steps, self._timed_s = (
            self._timed_steps + len(readings), self._timed_s + elapsed
        )  # fmt: skip
        for reading in readings:
            if reading.trouble is not None:
                self._meet(reading, reading.trouble)
            else:
                self.progress.train_loss, self._norm = reading.loss, reading.norm

    def _meet(self, reading: Reading, trouble: str) -> None:
        """A step that cannot be used: go back, or know that it was left out, or give up."""
        spec, progress = self.spec, self.progress
        if spec.on_divergence == "rewind":
            raise GoBack(reading.number, trouble)
        if reading.applied:
            raise TrainingDiverged(reading.number, trouble)
        if not within_budget(spec, progress, reading.number):
            raise TrainingDiverged(reading.number, trouble, len(progress.troubles))
        progress.skipped_steps += 1
        if self.parallel.is_main:
            self._report.log(
                f"Step {reading.number:,}: {what_is_wrong(trouble)}. Its update was left out "
                f"({len(progress.troubles)} of {spec.divergence_budget} within 1,000 steps).",
                "warning",
            )
            self._report.metric({"skipped_steps": float(progress.skipped_steps)})

    def _go_back(self, trouble: GoBack) -> None:
        """Take up the newest whole checkpoint, and pass over the batches up to the bad one.

        Which those are follows from the bad step alone and not from when it was noticed: so who
        is killed and goes on from that checkpoint comes by the same way to the same weights.
        """
        before = self.progress
        if not within_budget(self.spec, before, trouble.number):
            raise TrainingDiverged(trouble.number, trouble.what, len(before.troubles))
        checkpoint = self.saver.newest_before(trouble.number)
        if checkpoint is None:
            raise TrainingDiverged(trouble.number, trouble.what)
        self.parallel.restore_model(self.model, checkpoint.path)
        self._take_up(checkpoint)
        passed = trouble.number - checkpoint.step
        self.progress = replace(
            self.progress, offset=before.offset + passed, rewinds=before.rewinds + 1,
            troubles=before.troubles, seconds=before.seconds,
        )  # fmt: skip
        self.saver.saved, self.saver.step = checkpoint, checkpoint.step
        if self.parallel.is_main:
            self._report.log(
                f"Step {trouble.number:,}: {what_is_wrong(trouble.what)}. Going back to step "
                f"{checkpoint.step:,} and on with other batches; {passed:,} are passed over "
                f"({len(before.troubles)} of {self.spec.divergence_budget} within 1,000 steps).",
                "warning",
            )
            self._report.metric({"rewinds": float(self.progress.rewinds)})

    def _log(self, steps: int, elapsed: float) -> None:
        memory = float(memory_in_use(self.model.device))
        seconds = elapsed / max(steps, 1)
        self._observing.health(steps, seconds, memory)
        if not self.parallel.is_main:
            return
        loss, rate = self.progress.train_loss, self._steps.rate
        assert loss is not None
        tokens_per_second = steps * self._tokens_per_step / elapsed
        self._report.metric(
            {
                "loss": loss,
                "learning_rate": rate,
                "gradient_norm": self._norm,
                "tokens_per_second": tokens_per_second,
                "memory_bytes": memory,
                **self._observing.figures(seconds),
            }
        )
        self._report.log(
            f"step {self.progress.step:,}/{self.spec.steps:,}  loss {loss:.4f}  "
            f"lr {rate:.3g}  grad {self._norm:.3f}  {tokens_per_second:,.0f} tokens/s"
        )

    def _evaluate(self) -> None:
        loss = validation_loss(self.model, self._validation, self.manner.precision, self.parallel)
        if not math.isfinite(loss):
            if self.spec.on_divergence == "rewind" and self.progress.step:
                raise GoBack(self.progress.step, "validation loss")
            raise TrainingDiverged(self.progress.step, "validation loss")
        count_look(self.spec, self.progress, loss)
        if self.spec.publish == "best" and self.progress.best_step == self.progress.step:
            self.saver.best.take(self.progress.step)
        if self.parallel.is_main:
            self._report.metric({"validation_loss": loss})
            self._report.log(f"step {self.progress.step:,}  validation loss {loss:.4f}")
        self._observing.evaluated()

    def _eta_s(self) -> float | None:
        if not self._timed_steps:
            return None
        left = self.spec.steps - self.progress.step
        return left * self._timed_s / self._timed_steps

    def _stop(self, since: float) -> None:
        self._look(time.perf_counter() - since)
        if self.progress.step and self.saver.step != self.progress.step:
            self._save()
        self.saver.wait()
        self.parallel.after_main()
        raise Stopped(self.progress.step, self.saver.saved.path if self.saver.saved else None)

    def _save(self) -> None:
        self.progress.recent = self._steps.judge.recent()
        self.saver.save(self.progress, self.manner.to_dict())
