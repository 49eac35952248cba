"""The training loop: forward, backward, step; and in between measure, save, stop."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from workers.lm.compute.devices import memory_in_use
from workers.lm.errors import Stopped, TrainingDiverged
from workers.lm.events import Events
from workers.lm.families.lora import trainable
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.training.checkpoints import (
    Checkpoint,
    retain_checkpoints,
    write_checkpoint,
)
from workers.lm.training.gathered import Gathered, save_file
from workers.lm.training.losses import batch_loss, validation_loss
from workers.lm.training.masking import batches_for
from workers.lm.training.observing import Observing
from workers.lm.training.optimizer import build_optimizer
from workers.lm.training.parallel import Alone
from workers.lm.training.preparation import Prepared
from workers.lm.training.report import Report
from workers.lm.training.rng import capture_rng, restore_rng, rng_file, seed_rank
from workers.lm.training.schedule import learning_rate_at
from workers.lm.training.spec import TrainSpec

OPTIMIZER = "optimizer.safetensors"


@dataclass
class Progress:
    """What a training knows of its own course; kept in checkpoints."""

    step: int = 0
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    seconds: float = 0.0

    def metrics(self) -> dict[str, float]:
        """The losses known so far."""
        found = {"loss": self.train_loss, "validation_loss": self.validation_loss}
        return {name: value for name, value in found.items() if value is not None}


@dataclass
class _Pending:
    """Figures of steps not yet looked at; reading them each step would make a device wait."""

    first: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)


class Trainer:
    """Carries one model from its present step to the last."""

    def __init__(
        self,
        spec: TrainSpec,
        model: PreTrainedModel,
        data: Prepared,
        checkpoint_dir: Path,
        attempt: int,
        events: Events,
        report: Report,
        parallel: Alone | None = None,
        speed: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec, self.model, self.data = spec, model, data
        self.parallel = parallel or Alone()
        self.parameters = (
            trainable(model)
            if spec.lora_rank
            else sum(weight.numel() for weight in model.parameters())
        )
        # Goes through whatever brings the processes together; the model itself does not.
        self._forward = cast(PreTrainedModel, self.parallel.wrap(model))
        self.progress = Progress()
        self._folder, self._attempt = checkpoint_dir, attempt
        self._events, self._report = events, report
        self._parameters = [weight for weight in model.parameters() if weight.requires_grad]
        self._optimizer = build_optimizer(model, spec)
        self._batches, self._validation = batches_for(spec, data, self.parallel)
        self._pending = _Pending()
        self._saved: Checkpoint | None = None
        self._saved_step: int | None = None
        self._norm = math.nan
        self._tokens_per_step = spec.batch_size * spec.sequence_length
        self._timed_steps, self._timed_s = 0, 0.0
        self._observing = Observing(
            spec, model, data.tokenizer, self.parallel, events, report, speed, spec.precision
        )
        seed_rank(spec.seed, self.parallel.data_rank)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on exactly where a checkpoint was taken; the model holds its weights already."""
        self.parallel.restore_optimizer(self.model, self._optimizer, checkpoint.path / OPTIMIZER)
        self.progress = Progress(**checkpoint.state["progress"])
        self._report.step = self._pending.first = self.progress.step
        self._restore_rng(checkpoint)
        if checkpoint.attempt == self._attempt and checkpoint.path.parent == self._folder:
            self._saved, self._saved_step = checkpoint, checkpoint.step

    def _restore_rng(self, checkpoint: Checkpoint) -> None:
        """Each process goes on with its own random numbers; with others, they begin anew."""
        rest = [checkpoint.state["rng"], *checkpoint.state.get("rng_of_others", ())]
        rank = self.parallel.rank
        if len(rest) == self.parallel.world:
            restore_rng(load_file(checkpoint.path / rng_file(rank)), rest[rank])
            return
        seed_rank(self.spec.seed + checkpoint.step, self.parallel.data_rank)
        if self.spec.dropout:
            self._report.log(
                f"The checkpoint was written by {len(rest)} processes and {self.parallel.world} "
                "go on: what is dropped out differs from an undisturbed training.",
                "warning",
            )

    def run(self) -> Progress:
        """Train to the last step; raises Stopped or TrainingDiverged."""
        self.model.train()
        self._report.stage("training")
        if self.progress.step == 0 and self.spec.evaluate_every:
            self._evaluate()
        since = time.perf_counter()
        while self.progress.step < self.spec.steps:
            if self.parallel.any(self._events.should_stop()):
                self._stop(since)
            self._one_step()
            if self._boundary():
                self._settle(time.perf_counter() - since)
                since = time.perf_counter()
            else:
                self._report.steps(self._eta_s())
        return self.progress

    def _one_step(self) -> None:
        spec, step = self.spec, self.progress.step
        rate = learning_rate_at(spec, step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        inputs, targets = self._batches.batch(step)
        counted = self._batches.counted(step)
        total = torch.zeros((), device=self.model.device)
        share = spec.micro_batch // self.parallel.data_world
        parts = spec.gradient_accumulation
        for part in range(parts):
            rows = slice(part * share, (part + 1) * share)
            last = part == parts - 1
            with self.parallel.accumulating(self._forward, last=last):
                part_loss = batch_loss(
                    self._forward, (inputs[rows], targets[rows]), spec.precision, counted
                )
                # Gradients of several shares are averaged, though all of them make one sum here.
                loss = part_loss * self.parallel.data_world if counted else part_loss / parts
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = self.parallel.clip(self._parameters, spec.gradient_clip or math.inf)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._pending.losses.append(total)
        self._pending.norms.append(norm.detach())
        self.progress.step = self._report.step = step + 1

    def _boundary(self) -> bool:
        """Whether anything is to be looked at or written after this step."""
        step, spec = self.progress.step, self.spec
        every = (spec.log_every, spec.evaluate_every, spec.checkpoint_every)
        return step == spec.steps or any(count and step % count == 0 for count in every)

    def _settle(self, elapsed: float) -> None:
        """Look at the steps since the last time; log, validate and save what is due."""
        step, spec = self.progress.step, self.spec
        steps = len(self._pending.losses)
        self._look(elapsed)
        last = step == spec.steps
        if last or step % spec.log_every == 0:
            self._log(steps, max(elapsed, 1e-9))
        if last or (spec.evaluate_every and step % spec.evaluate_every == 0):
            self._evaluate()
        if spec.checkpoint_every and (last or step % spec.checkpoint_every == 0):
            self._save()
        self._report.steps(self._eta_s(), force=step % spec.log_every == 0)

    def _look(self, elapsed: float) -> None:
        """Read the pending figures; anything that is not finite ends the training."""
        pending, self._pending = self._pending, _Pending(first=self.progress.step)
        self.progress.seconds += elapsed
        self._timed_steps, self._timed_s = (
            self._timed_steps + len(pending.losses), self._timed_s + elapsed
        )  # fmt: skip
        if not pending.losses:
            return
        losses = self.parallel.mean(torch.stack(pending.losses)).tolist()
        norms = torch.stack(pending.norms).tolist()
        for number, (loss, norm) in enumerate(zip(losses, norms, strict=True), pending.first + 1):
            if not math.isfinite(loss):
                raise TrainingDiverged(number, "loss")
            if not math.isfinite(norm):
                raise TrainingDiverged(number, "gradient")
        self.progress.train_loss, self._norm = losses[-1], norms[-1]

    def _log(self, steps: int, elapsed: float) -> None:
        memory = float(memory_in_use(self.model.device))
        seconds = elapsed / max(steps, 1)
        self._observing.health(steps, seconds, memory)
        if not self.parallel.is_main:
            return
        loss, rate = self.progress.train_loss, learning_rate_at(self.spec, self.progress.step - 1)
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
        loss = validation_loss(self.model, self._validation, self.spec.precision, self.parallel)
        if not math.isfinite(loss):
            raise TrainingDiverged(self.progress.step, "validation loss")
        self.progress.validation_loss = loss
        if self.progress.best_loss is None or loss < self.progress.best_loss:
            self.progress.best_loss, self.progress.best_step = loss, self.progress.step
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
        if self.progress.step and self._saved_step != self.progress.step:
            self._save()
        raise Stopped(self.progress.step, self._saved.path if self._saved else None)

    def _save(self) -> None:
        """Write a checkpoint, tell of it, and let go of those no longer kept."""
        states = self.parallel.everyones(capture_rng())
        moments = self.parallel.optimizer_tensors(self.model, self._optimizer)
        self._saved_step = self.progress.step
        if not self.parallel.is_main:
            self.parallel.give_model(self.model)
            if isinstance(moments, Gathered):
                moments.take_part()
            self.parallel.after_main()
            return

        def fill(folder: Path) -> None:
            self.parallel.save_model(self.model, folder)
            save_tokenizer(self.data.tokenizer, folder)
            save_file(moments, folder / OPTIMIZER)
            for rank, (tensors, _) in enumerate(states):
                save_file(tensors, folder / rng_file(rank))

        state: dict[str, Any] = {
            "progress": vars(self.progress),
            "rng": states[0][1],
            "spec": self.spec.to_dict(),
            "data": {
                "train": self.data.train.fingerprint,
                "validation": self.data.validation.fingerprint,
            },
        }
        if self.parallel.world > 1:
            state["rng_of_others"] = [rest for _, rest in states[1:]]
        self._saved = saved = write_checkpoint(
            self._folder,
            step=self.progress.step,
            attempt=self._attempt,
            metrics=self.progress.metrics(),
            state=state,
            fill=fill,
        )
        self._events.checkpoint(
            step=saved.step,
            path=saved.path,
            digest=saved.digest,
            size_bytes=saved.size_bytes,
            metrics=saved.metrics,
        )
        for path in retain_checkpoints(self._folder, self.spec.keep_checkpoints):
            self._report.log(f"Removed checkpoint {path.name}.", "debug")
        self.parallel.after_main()
