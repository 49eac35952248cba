"""The settings of one training; plain data, importable without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from workers.lm.errors import InvalidTraining
from workers.lm.training.choices import (
    ALL_LINEAR,
    DivergenceChoice,
    LossChoice,
    ParallelChoice,
    PrecisionChoice,
    PublishChoice,
    SamplingChoice,
    ScheduleChoice,
    Switch,
    TokenizerChoice,
)
from workers.lm.training.limits import check_settings


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """Everything that decides what comes out of a training, together with its data.

    `batch_size` counts the sequences of one optimiser step; `gradient_accumulation` cuts them
    into that many equal parts, so that it changes the memory needed and not the result.
    `schedule_steps` is how many steps the schedule of the learning rate takes, all of them unless
    it is given; steps behind its end run at the lowest rate.
    `sampling` draws random windows of the text, or each window once per epoch in a seeded order;
    with "documents" a sequence is one conversation, which needs `loss_on` "answers".
    `loss_on` "answers" learns only what assistants say in conversations; all else is read.
    `lora_rank` above 0 trains two small matrices of that rank beside each of the `lora_targets`
    (names of modules, separated by commas) and leaves the base as it is. Their product is scaled
    by `lora_alpha` / `lora_rank`.
    `processes` train together, each with its own `threads`; `parallel` says what they share: the
    batch with a whole model each (ddp), the batch and the weights (fsdp), every layer (tensor).
    They are spread evenly over `nodes`.

    `patience` looks at the validation loss in a row that do not lower it by `min_improvement` end
    the training; 0 never does. `publish` says which weights come out: the last, or those of the
    best look.
    `on_divergence` is what becomes of a step whose loss or gradient is not a finite number, or
    whose loss is above `spike_factor` times the median of the steps before (0: no loss is too
    high): the training ends (stop), its update is left out (skip), or the training goes back to
    its newest checkpoint and on with the batches that follow (rewind). More than
    `divergence_budget` of these in 1,000 steps end it.
    `activation_checkpointing` keeps only what enters each layer and computes the rest again on
    the way back. `checkpoint_in_background` writes checkpoints beside the training, from a copy.
    `compile` lets torch.compile translate the model; "auto" measures whether that pays. Both
    "auto" otherwise: on accelerators, and for `precision` where bf16 is computed by hardware.

    At each validation the model continues the `sample_prompts` by up to `sample_tokens` tokens.
    """

    preset: str | None = None
    architecture: dict[str, Any] | None = None
    tokenizer: TokenizerChoice = "bpe"
    vocab_size: int = 4096
    sequence_length: int = 256
    batch_size: int = 16
    gradient_accumulation: int = 1
    steps: int = 1000
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    schedule: ScheduleChoice = "cosine"
    schedule_steps: int | None = None
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    gradient_clip: float = 1.0
    dropout: float = 0.0
    seed: int = 1337
    evaluate_every: int = 100
    evaluation_batches: int = 20
    checkpoint_every: int = 200
    keep_checkpoints: int = 3
    log_every: int = 10
    patience: int = 0
    min_improvement: float = 0.0
    publish: PublishChoice = "last"
    on_divergence: DivergenceChoice = "skip"
    spike_factor: float = 0.0
    divergence_budget: int = 5
    threads: int = 1
    precision: PrecisionChoice = "fp32"
    sampling: SamplingChoice = "windows"
    loss_on: LossChoice = "all"
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    lora_targets: str = ALL_LINEAR
    processes: int = 1
    parallel: ParallelChoice = "ddp"
    nodes: int = 1
    activation_checkpointing: bool = False
    checkpoint_in_background: Switch = "auto"
    compile: Switch = "off"
    sample_prompts: list[str] = field(default_factory=lambda: [""])
    sample_tokens: int = 64

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainSpec":
        """Build from plain data; an unknown name is refused rather than ignored."""
        known = {one.name for one in fields(cls)}
        for name in values:
            if name not in known:
                raise InvalidTraining(str(name), "There is no such training setting.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as written into checkpoints and facts."""
        return asdict(self)

    def deciding(self) -> dict[str, Any]:
        """The same without what decides nothing of the model, as written into its facts."""
        watched = ("sample_prompts", "sample_tokens")
        return {name: value for name, value in asdict(self).items() if name not in watched}

    @property
    def micro_batch(self) -> int:
        """Sequences in one forward pass."""
        return self.batch_size // self.gradient_accumulation

    @property
    def data_processes(self) -> int:
        """Processes that share the sequences of a batch; those of `tensor` all see every one."""
        return 1 if self.parallel == "tensor" else self.processes

    def check(self, *, has_base: bool = False) -> None:
        """Refuse what cannot work, naming the field; needs neither data nor torch."""
        check_settings(self, has_base=has_base)
