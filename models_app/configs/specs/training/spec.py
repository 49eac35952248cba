"""The settings of one training as they are stored, checked and shown."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator
from pydantic_core import InitErrorDetails, ValidationError

from models_app.configs.specs.advice import training_warnings
from models_app.configs.specs.effects import training_effects
from models_app.configs.specs.training.checks import cross_checks
from models_app.configs.specs.training.watching import WatchingSettings


class TrainingSpec(WatchingSettings):
    """The settings of one training; the names are those of the training loop."""

    folded: ClassVar[tuple[str, ...]] = (
        "seed", "warmup_steps", "schedule", "min_learning_rate", "gradient_accumulation",
        "weight_decay", "beta1", "beta2", "gradient_clip", "dropout", "sampling", "precision",
        "evaluate_every", "evaluation_batches", "checkpoint_every", "keep_checkpoints",
        "log_every", "patience", "min_improvement", "publish", "on_divergence", "spike_factor",
        "divergence_budget", "threads", "processes", "parallel", "nodes",
        "activation_checkpointing",
        "checkpoint_in_background", "compile", "lora_alpha", "lora_dropout", "lora_targets",
        "sample_prompts", "sample_tokens",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingSpec":
        problems = list(cross_checks(self))
        if problems:
            details = [
                InitErrorDetails(type=error, loc=(field,), input=getattr(self, field))
                for field, error in problems
            ]
            raise ValidationError.from_exception_data("TrainingSpec", details)
        return self

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        return training_effects(old, new)

    def warnings(self) -> dict[str, str]:
        return training_warnings(self)

    @property
    def tokens_seen(self) -> int:
        """Tokens that the whole training looks at."""
        return self.steps * self.batch_size * self.sequence_length
