"""Everything that decides what comes out of a training, together with its data."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from models_app.configs.specs.advice import training_warnings
from models_app.configs.specs.base import Spec, refuse
from models_app.configs.specs.effects import training_effects

MOST_STEPS = 100_000_000


class TrainingSpec(Spec):
    """The settings of one training; the names are those of the training loop."""

    folded: ClassVar[tuple[str, ...]] = (
        "seed", "warmup_steps", "schedule", "min_learning_rate", "gradient_accumulation",
        "weight_decay", "beta1", "beta2", "gradient_clip", "dropout", "sampling", "precision",
        "evaluate_every", "evaluation_batches", "checkpoint_every", "keep_checkpoints",
        "log_every", "threads", "processes", "parallel", "nodes", "lora_alpha", "lora_dropout",
        "lora_targets",
    )  # fmt: skip

    preset: str | None = Field(
        None,
        max_length=63,
        title=gettext_noop("Preset"),
        description=gettext_noop(
            "A ready-made shape. Leave empty with an architecture or a base version."
        ),
    )
    architecture: dict[str, Any] | None = Field(
        None,
        title=gettext_noop("Architecture"),
        description=gettext_noop(
            "A transformers configuration (model_type and sizes) instead of a preset."
        ),
    )
    tokenizer: Literal["bpe", "char", "base"] = Field(
        "bpe",
        title=gettext_noop("Tokenizer"),
        description=gettext_noop(
            "bpe learns pieces of words, char takes characters, base keeps the base's."
        ),
    )
    vocab_size: int = Field(
        4096,
        ge=2,
        le=262_144,
        title=gettext_noop("Vocabulary"),
        description=gettext_noop("How many tokens the tokenizer may learn."),
    )
    sequence_length: int = Field(
        256,
        ge=2,
        le=131_072,
        title=gettext_noop("Sequence length"),
        description=gettext_noop(
            "Tokens that the model sees at once; also its longest context when it serves."
        ),
    )
    batch_size: int = Field(
        16,
        ge=1,
        le=65_536,
        title=gettext_noop("Batch size"),
        description=gettext_noop("Sequences of one optimiser step."),
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=65_536,
        title=gettext_noop("Gradient accumulation"),
        description=gettext_noop(
            "Cuts the batch into this many equal parts: less memory, the same result."
        ),
    )
    steps: int = Field(
        1000,
        ge=1,
        le=MOST_STEPS,
        title=gettext_noop("Steps"),
        description=gettext_noop("Optimiser steps of the training."),
    )
    learning_rate: float = Field(
        1e-3,
        ge=1e-9,
        le=10.0,
        title=gettext_noop("Learning rate"),
        description=gettext_noop("The highest one, after warm-up."),
    )
    min_learning_rate: float = Field(
        1e-4,
        ge=0.0,
        le=10.0,
        title=gettext_noop("Lowest learning rate"),
        description=gettext_noop("Where the schedule ends; not above the learning rate."),
    )
    warmup_steps: int = Field(
        100,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Warm-up steps"),
        description=gettext_noop("Steps in which the learning rate rises from zero."),
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine",
        title=gettext_noop("Schedule"),
        description=gettext_noop("How the learning rate falls after warm-up."),
    )
    schedule_steps: int | None = Field(
        None,
        ge=1,
        le=MOST_STEPS,
        title="Schedule steps",
        description="Steps that the schedule takes, all of them if empty; those behind its end run "
        "at the lowest rate.",
    )
    weight_decay: float = Field(
        0.1,
        ge=0.0,
        le=10.0,
        title=gettext_noop("Weight decay"),
        description=gettext_noop("Pulls the weights towards zero."),
    )
    beta1: float = Field(
        0.9,
        ge=0.0,
        le=0.99999,
        title=gettext_noop("Beta 1"),
        description=gettext_noop("Memory of AdamW for gradients."),
    )
    beta2: float = Field(
        0.99,
        ge=0.0,
        le=0.99999,
        title=gettext_noop("Beta 2"),
        description=gettext_noop("Memory of AdamW for their squares."),
    )
    gradient_clip: float = Field(
        1.0,
        ge=0.0,
        le=1e6,
        title=gettext_noop("Gradient clip"),
        description=gettext_noop("Longest gradient; 0 clips nothing."),
    )
    dropout: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title=gettext_noop("Dropout"),
        description=gettext_noop("Share of activations left out."),
    )
    seed: int = Field(
        1337,
        ge=0,
        le=2**63 - 1,
        title=gettext_noop("Seed"),
        description=gettext_noop("The same seed, data and settings give the same weights."),
    )
    evaluate_every: int = Field(
        100,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Evaluate every"),
        description=gettext_noop("Steps between looks at the validation loss; 0 only at the end."),
    )
    evaluation_batches: int = Field(
        20,
        ge=1,
        le=1_000_000,
        title=gettext_noop("Evaluation batches"),
        description=gettext_noop("Batches of each such look."),
    )
    checkpoint_every: int = Field(
        200,
        ge=0,
        le=MOST_STEPS,
        title=gettext_noop("Checkpoint every"),
        description=gettext_noop(
            "Steps between checkpoints, from which a broken-off training goes on; 0 never."
        ),
    )
    keep_checkpoints: int = Field(
        3,
        ge=1,
        le=1000,
        title=gettext_noop("Checkpoints kept"),
        description=gettext_noop("Older ones are removed."),
    )
    log_every: int = Field(
        10,
        ge=1,
        le=MOST_STEPS,
        title=gettext_noop("Report every"),
        description=gettext_noop("Steps between chart points."),
    )
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Threads"),
        description=gettext_noop("Processor threads of the training."),
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32",
        title=gettext_noop("Precision"),
        description=gettext_noop("bf16 is faster only where the processor has it."),
    )
    sampling: Literal["windows", "epochs", "documents"] = Field(
        "windows",
        title=gettext_noop("Sampling"),
        description=gettext_noop(
            "Random windows of the text, or each window once per epoch in a seeded order. With "
            "documents a sequence is one conversation, each once per epoch."
        ),
    )
    loss_on: Literal["all", "answers"] = Field(
        "all",
        title=gettext_noop("Loss on"),
        description=gettext_noop(
            "all learns every token; answers learns only what assistants say in conversations, "
            "as it is done for instructions."
        ),
    )
    lora_rank: int = Field(
        0,
        ge=0,
        le=4096,
        title=gettext_noop("Adapter rank (LoRA)"),
        description=gettext_noop(
            "0 trains the whole model. Above 0 the base version stays as it is and two small "
            "matrices of this rank are learned for each of its layers; 8 to 64 is usual."
        ),
    )
    lora_alpha: float = Field(
        16.0,
        ge=1e-3,
        le=1e5,
        title=gettext_noop("Adapter scale (alpha)"),
        description=gettext_noop("The adapter's part is multiplied by this divided by the rank."),
    )
    lora_dropout: float = Field(
        0.0,
        ge=0.0,
        le=0.9,
        title=gettext_noop("Adapter dropout"),
        description=gettext_noop("Share of the adapter's inputs left out."),
    )
    lora_targets: str = Field(
        "all-linear",
        min_length=1,
        max_length=500,
        title=gettext_noop("Adapted layers"),
        description=gettext_noop(
            "all-linear, or names of layers separated by commas, such as q_proj, v_proj."
        ),
    )

    processes: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Processes"),
        description=gettext_noop(
            "Processes that train together, each with its own threads or GPU; on all nodes."
        ),
    )
    parallel: Literal["ddp", "fsdp", "tensor"] = Field(
        "ddp",
        title=gettext_noop("What processes share"),
        description=gettext_noop(
            "ddp shares the batch, fsdp the batch and the weights (less memory), tensor every "
            "layer."
        ),
    )
    nodes: int = Field(
        1,
        ge=1,
        le=1024,
        title=gettext_noop("Nodes"),
        description=gettext_noop(
            "Nodes that the processes are spread over evenly; more than one needs a pool with a "
            "private network."
        ),
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingSpec":
        problems = list(_cross_checks(self))
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


def _cross_checks(spec: TrainingSpec) -> list[tuple[str, PydanticCustomError]]:
    found: list[tuple[str, PydanticCustomError]] = []

    def say(field: str, message: str) -> None:
        found.append((field, refuse(message)))

    if spec.preset and spec.architecture is not None:
        say("architecture", _("Give a preset or an architecture, not both."))
    if spec.tokenizer == "base" and (spec.preset or spec.architecture is not None):
        say("preset", _("With the base's tokenizer its architecture is kept: leave this empty."))
    if spec.tokenizer != "base" and not spec.preset and spec.architecture is None:
        say("preset", _("Choose a preset, an architecture, or a base version with its tokenizer."))
    if spec.batch_size % spec.gradient_accumulation:
        say(
            "gradient_accumulation",
            _(
                "The batch of %(batch)s sequences cannot be cut into %(parts)s equal parts. "
                "Choose a divisor of the batch size."
            )
            % {"batch": spec.batch_size, "parts": spec.gradient_accumulation},
        )
    elif said := _not_shared(spec):
        say("processes", said)
    if spec.min_learning_rate > spec.learning_rate:
        most = f"{spec.learning_rate:g}"
        say("min_learning_rate", _("Use at most the learning rate, %(most)s.") % {"most": most})
    if spec.steps > 1 and spec.warmup_steps >= spec.steps:
        text = _("Use fewer than the %(n)s steps of the training.") % {"n": spec.steps}
        say("warmup_steps", text)
    smallest = {"bpe": 260, "char": 3}.get(spec.tokenizer, 0)
    if spec.vocab_size < smallest:
        text = _("The %(name)s tokenizer needs at least %(n)s tokens.")
        say("vocab_size", text % {"name": spec.tokenizer, "n": smallest})
    return found + _tuning_checks(spec) + _not_spread(spec)


def _tuning_checks(spec: TrainingSpec) -> list[tuple[str, PydanticCustomError]]:
    """Of conversations and adapters."""
    found: list[tuple[str, PydanticCustomError]] = []
    if spec.loss_on == "answers" and spec.tokenizer == "char":
        text = _("A tokenizer of characters has no marks of roles: choose bpe or a base version.")
        found.append(("tokenizer", refuse(text)))
    if spec.sampling == "documents" and spec.loss_on != "answers":
        text = _("One conversation in each sequence needs the loss on answers.")
        found.append(("sampling", refuse(text)))
    if spec.lora_rank and spec.tokenizer != "base":
        text = _("An adapter needs a base version, whose tokenizer is kept.")
        found.append(("lora_rank", refuse(text)))
    if spec.lora_rank and spec.processes > 1 and spec.parallel != "ddp":
        text = _("An adapter is small: several processes train it with the way ddp.")
        found.append(("parallel", refuse(text)))
    return found


def _not_shared(spec: TrainingSpec) -> str:
    """Why the sequences of a forward pass cannot be shared by the processes; empty if they can."""
    rows = spec.batch_size // spec.gradient_accumulation
    if spec.parallel == "tensor" or rows % spec.processes == 0:
        return ""
    said = _(
        "The micro-batch of %(rows)s sequences cannot be shared by %(n)s processes. "
        "Use one of %(fitting)s."
    )
    return said % {
        "rows": rows, "n": spec.processes, "fitting": _divisors(rows, spec.processes),
    }  # fmt: skip


def _not_spread(spec: TrainingSpec) -> list[tuple[str, PydanticCustomError]]:
    """That some nodes would get more processes than others."""
    if spec.processes % spec.nodes == 0:
        return []
    said = _(
        "%(processes)s processes cannot be spread evenly over %(nodes)s nodes. "
        "Use one of %(fitting)s."
    )
    fitting = _divisors(spec.processes, spec.nodes)
    words = {"processes": spec.processes, "nodes": spec.nodes, "fitting": fitting}
    return [("nodes", refuse(said % words))]


def _divisors(amount: int, wanted: int) -> str:
    """The numbers nearest to `wanted` that divide the amount."""
    fitting = [number for number in range(1, amount + 1) if amount % number == 0]
    nearest = sorted(sorted(fitting, key=lambda number: abs(number - wanted))[:8])
    return ", ".join(map(str, nearest))
