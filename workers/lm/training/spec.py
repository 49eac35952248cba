"""The settings of one training; plain data, importable without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from workers.lm.errors import InvalidTraining

TokenizerChoice = Literal["bpe", "char", "base"]
ScheduleChoice = Literal["cosine", "linear", "constant"]
PrecisionChoice = Literal["fp32", "bf16"]
SamplingChoice = Literal["windows", "epochs", "documents"]
LossChoice = Literal["all", "answers"]
ParallelChoice = Literal["ddp", "fsdp", "tensor"]

#: Modules that an adapter changes: every linear layer but the last.
ALL_LINEAR = "all-linear"

LARGEST_VOCABULARY = 262_144
LONGEST_SEQUENCE = 131_072
MOST_STEPS = 100_000_000


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainSpec":
        """Build from plain data; an unknown name is refused rather than ignored."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise InvalidTraining(str(name), "There is no such training setting.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as written into checkpoints and facts."""
        return asdict(self)

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
        _check_choices(self)
        _check_numbers(self)
        _check_source(self, has_base=has_base)
        _check_tuning(self, has_base=has_base)
        if self.batch_size % self.gradient_accumulation:
            raise InvalidTraining(
                "gradient_accumulation",
                f"The batch of {self.batch_size} sequences cannot be cut into "
                f"{self.gradient_accumulation} equal parts; choose a divisor of batch_size.",
            )
        if self.micro_batch % self.data_processes:
            raise InvalidTraining(
                "processes", cannot_share(f"micro-batch of {self.micro_batch} sequences",
                                          self.micro_batch, self.processes),
            )  # fmt: skip
        if self.processes % self.nodes:
            raise InvalidTraining("nodes", cannot_spread(self.processes, self.nodes))
        if self.min_learning_rate > self.learning_rate:
            raise InvalidTraining("min_learning_rate", "Must not be larger than learning_rate.")
        if self.steps > 1 and self.warmup_steps >= self.steps:
            raise InvalidTraining(
                "warmup_steps", f"Must be smaller than the number of steps ({self.steps})."
            )


_CHOICES = {
    "tokenizer": get_args(TokenizerChoice),
    "schedule": get_args(ScheduleChoice),
    "precision": get_args(PrecisionChoice),
    "sampling": get_args(SamplingChoice),
    "loss_on": get_args(LossChoice),
    "parallel": get_args(ParallelChoice),
}

_BOUNDS: dict[str, tuple[float, float]] = {
    "vocab_size": (2, LARGEST_VOCABULARY),
    "sequence_length": (2, LONGEST_SEQUENCE),
    "batch_size": (1, 65_536),
    "gradient_accumulation": (1, 65_536),
    "steps": (1, MOST_STEPS),
    "learning_rate": (1e-9, 10.0),
    "min_learning_rate": (0.0, 10.0),
    "warmup_steps": (0, MOST_STEPS),
    "schedule_steps": (1, MOST_STEPS),
    "weight_decay": (0.0, 10.0),
    "beta1": (0.0, 0.99999),
    "beta2": (0.0, 0.99999),
    "gradient_clip": (0.0, 1e6),
    "dropout": (0.0, 0.9),
    "seed": (0, 2**63 - 1),
    "evaluate_every": (0, MOST_STEPS),
    "evaluation_batches": (1, 1_000_000),
    "checkpoint_every": (0, MOST_STEPS),
    "keep_checkpoints": (1, 1_000),
    "log_every": (1, MOST_STEPS),
    "threads": (1, 1_024),
    "lora_rank": (0, 4_096),
    "lora_alpha": (1e-3, 1e5),
    "lora_dropout": (0.0, 0.9),
    "processes": (1, 1_024),
    "nodes": (1, 1_024),
}

_FRACTIONS = {
    "learning_rate", "min_learning_rate", "weight_decay", "beta1", "beta2", "gradient_clip",
    "dropout", "lora_alpha", "lora_dropout",
}  # fmt: skip


def cannot_share(what: str, amount: int, processes: int) -> str:
    """Such as `The micro-batch of 4 sequences cannot be shared by 3 processes. Use 1, 2 or 4.`"""
    return f"The {what} cannot be shared by {processes} processes. {_divisor(amount, processes)}"


def cannot_spread(processes: int, nodes: int) -> str:
    """Such as `The processes, 4 in all, cannot be spread evenly over 3 nodes. Use 1, 2 or 4.`"""
    said = f"The processes, {processes} in all, cannot be spread evenly over {nodes} nodes."
    return f"{said} {_divisor(processes, nodes)}"


def _divisor(amount: int, wanted: int) -> str:
    """The numbers nearest to `wanted` that divide the amount, as an advice."""
    fitting = [number for number in range(1, amount + 1) if amount % number == 0]
    nearest = sorted(sorted(fitting, key=lambda number: abs(number - wanted))[:8])
    *some, last = map(str, nearest)
    return f"Use {', '.join(some)} or {last}." if some else f"Use {last}."


def _check_choices(spec: TrainSpec) -> None:
    for name, allowed in _CHOICES.items():
        if getattr(spec, name) not in allowed:
            raise InvalidTraining(name, f"Choose one of {', '.join(allowed)}.")


def _check_numbers(spec: TrainSpec) -> None:
    for name, (low, high) in _BOUNDS.items():
        value = getattr(spec, name)
        if value is None and name == "schedule_steps":
            continue
        kinds = (int, float) if name in _FRACTIONS else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise InvalidTraining(
                name, f"Must be a {'number' if name in _FRACTIONS else 'whole number'}."
            )
        if not low <= value <= high:  # also refuses NaN
            raise InvalidTraining(name, f"Must lie between {low:,} and {high:,}; got {value:,}.")


def _check_source(spec: TrainSpec, *, has_base: bool) -> None:
    if spec.preset is not None and spec.architecture is not None:
        raise InvalidTraining("architecture", "Give a preset or an architecture, not both.")
    if has_base:
        if spec.preset is not None or spec.architecture is not None:
            raise InvalidTraining(
                "preset", "The base version decides the architecture; leave preset empty."
            )
        if spec.tokenizer != "base":
            raise InvalidTraining(
                "tokenizer", "Training from a base version uses its tokenizer: choose base."
            )
        return
    if spec.preset is None and spec.architecture is None:
        raise InvalidTraining("preset", "Choose a preset, an architecture or a base version.")
    if spec.tokenizer == "base":
        raise InvalidTraining("tokenizer", "Choosing base needs a base version to start from.")


def _check_tuning(spec: TrainSpec, *, has_base: bool) -> None:
    if spec.loss_on == "answers" and spec.tokenizer == "char":
        raise InvalidTraining(
            "tokenizer", "A tokenizer of characters has no marks of roles. Choose bpe or a base."
        )
    if spec.sampling == "documents" and spec.loss_on != "answers":
        raise InvalidTraining(
            "sampling", "Sequences of one conversation each need loss_on to be answers."
        )
    if spec.lora_rank and not has_base:
        raise InvalidTraining("lora_rank", "An adapter needs a base version that it changes.")
    if spec.lora_rank and spec.processes > 1 and spec.parallel != "ddp":
        raise InvalidTraining("parallel", "Several processes train an adapter with ddp.")
    if not isinstance(spec.lora_targets, str) or not target_names(spec.lora_targets):
        raise InvalidTraining(
            "lora_targets", f"Give {ALL_LINEAR} or names of modules, separated by commas."
        )


def target_names(targets: str) -> list[str]:
    """The names in `lora_targets`, each once, in order."""
    return sorted({name.strip() for name in targets.split(",") if name.strip()})
