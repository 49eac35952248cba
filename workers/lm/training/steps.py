"""One optimiser step: the learning rate, forward and backward over the parts of a batch, AdamW."""

import math
from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel

from workers.lm.data.answer_batches import AnswerBatches
from workers.lm.data.batches import Batch, Batches
from workers.lm.errors import InvalidTraining
from workers.lm.training.compiling import Trial, compiled_or_not
from workers.lm.training.divergence import Judge, Pending, Reading
from workers.lm.training.losses import batch_loss
from workers.lm.training.manner import Manner
from workers.lm.training.optimizer import build_optimizer
from workers.lm.training.parallel import Alone
from workers.lm.training.progress import Progress
from workers.lm.training.report import Report
from workers.lm.training.schedule import learning_rate_at
from workers.lm.training.spec import TrainSpec


class Steps:
    """Takes steps with a model; what they find is kept in `pending` until somebody looks."""

    def __init__(
        self,
        spec: TrainSpec,
        manner: Manner,
        model: PreTrainedModel,
        batches: Batches | AnswerBatches,
        parallel: Alone,
    ) -> None:
        self._spec, self._manner, self._model = spec, manner, model
        self._batches, self._parallel = batches, parallel
        if spec.activation_checkpointing:
            recompute_activations(model)
        # Goes through whatever brings the processes together; the model itself does not.
        self._forward = cast(PreTrainedModel, parallel.wrap(model))
        self._parameters = [weight for weight in model.parameters() if weight.requires_grad]
        self.optimizer = build_optimizer(model, spec)
        self.judge = Judge(spec, parallel, model.device)
        self.pending = Pending()
        #: The learning rate of the newest step.
        self.rate = 0.0

    def settle_manner(
        self, progress: Progress, folders: tuple[Path, Path], report: Report
    ) -> Manner:
        """Decide whether the model is compiled, if nothing has decided it yet; see `compiling`.

        `folders` are the job's and the node's.
        """
        spec, compiled = self._spec, None
        # Sequences of one length, and whole models; `limits` refuses others where it is asked for.
        fixed = spec.loss_on == "all" and self._parallel.holds_all
        if self._manner.compiled is not False and fixed:
            left = (spec.steps - progress.step) * spec.gradient_accumulation
            compiled = compiled_or_not(
                spec, self._model, self._trial(progress, left), folders, report,
                self._parallel, self._manner.compiled,
            )  # fmt: skip
        if compiled is not None:
            self._forward = cast(PreTrainedModel, compiled)
        self._manner = Manner(precision=self._manner.precision, compiled=compiled is not None)
        return self._manner

    def take(self, progress: Progress) -> None:
        """The next step; `progress.step` counts it, whether or not it is found to count later."""
        spec, step = self._spec, progress.step
        self.rate = learning_rate_at(spec, step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        place = step + progress.offset
        inputs, targets = self._batches.batch(place)
        counted = self._batches.counted(place)
        total = torch.zeros((), device=self._model.device)
        parts = spec.gradient_accumulation
        for part in range(parts):
            with self._parallel.accumulating(self._forward, last=part == parts - 1):
                part_loss = self._loss(self._part((inputs, targets), part), counted)
                # Gradients of several shares are averaged, though all of them make one sum here.
                loss = part_loss * self._parallel.data_world if counted else part_loss / parts
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = self._parallel.clip(self._parameters, spec.gradient_clip or math.inf)
        self.judge.step(self.optimizer, self.pending, total, norm)
        self.optimizer.zero_grad(set_to_none=True)
        progress.step = step + 1

    def look(self, progress: Progress) -> list[Reading]:
        """What the steps since the last look have found; the next look begins here."""
        pending, self.pending = self.pending, Pending(first=progress.step)
        return self.judge.read(pending)

    def forget(self, progress: Progress) -> None:
        """Another state was taken up: nothing is pending, and spikes are told by its losses."""
        self.pending = Pending(first=progress.step)
        self.judge.remember(progress.recent)

    def _part(self, batch: Batch, part: int) -> Batch:
        share = self._spec.micro_batch // self._parallel.data_world
        rows = slice(part * share, (part + 1) * share)
        return batch[0][rows], batch[1][rows]

    def _loss(self, batch: Batch, counted: int | None) -> torch.Tensor:
        return batch_loss(self._forward, batch, self._manner.precision, counted)

    def _trial(self, progress: Progress, left: int) -> Trial:
        """Passes over a batch of the training that leave no trace, neither gradients nor dice."""
        model, spec = self._model, self._spec
        batch = self._part(self._batches.batch(progress.step + progress.offset), 0)
        cuda = [model.device.index or 0] if model.device.type == "cuda" else []

        def run(forward: torch.nn.Module) -> None:
            with torch.random.fork_rng(devices=cuda):
                one = cast(PreTrainedModel, forward)
                batch_loss(one, batch, self._manner.precision).backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
            if cuda:
                torch.cuda.synchronize(model.device)

        circumstances = (
            tuple(batch[0].shape), self._manner.precision, spec.activation_checkpointing,
            bool(spec.dropout), spec.lora_rank, self._parallel.world,
        )  # fmt: skip
        return Trial(run=run, left=left, circumstances=circumstances)


def recompute_activations(model: PreTrainedModel) -> None:
    """Keep only what enters each layer; InvalidTraining for a model that cannot do that."""
    try:
        model.activation_checkpointing_enable(
            activation_checkpointing_kwargs={"use_reentrant": False}
        )
    except ValueError as error:
        name = model.config.model_type
        raise InvalidTraining(
            "activation_checkpointing", f"Models of the type {name} cannot do this: {error}"
        ) from error
