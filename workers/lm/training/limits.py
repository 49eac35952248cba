"""What settings of a training are refused for, before anything is read or loaded; without torch."""

from typing import TYPE_CHECKING, get_args

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
    target_names,
)

if TYPE_CHECKING:
    from workers.lm.training.spec import TrainSpec

LARGEST_VOCABULARY = 262_144
LONGEST_SEQUENCE = 131_072
MOST_STEPS = 100_000_000
MOST_PROMPTS, LONGEST_PROMPT, LONGEST_SAMPLE = 8, 1_000, 512

_CHOICES = {
    "tokenizer": get_args(TokenizerChoice),
    "schedule": get_args(ScheduleChoice),
    "precision": get_args(PrecisionChoice),
    "sampling": get_args(SamplingChoice),
    "loss_on": get_args(LossChoice),
    "parallel": get_args(ParallelChoice),
    "publish": get_args(PublishChoice),
    "on_divergence": get_args(DivergenceChoice),
    "checkpoint_in_background": get_args(Switch),
    "compile": get_args(Switch),
}

BOUNDS: dict[str, tuple[float, float]] = {
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
    "patience": (0, 1_000_000),
    "min_improvement": (0.0, 1e3),
    "spike_factor": (0.0, 1e6),
    "divergence_budget": (0, 1_000),
    "sample_tokens": (1, LONGEST_SAMPLE),
}

_FRACTIONS = {
    "learning_rate", "min_learning_rate", "weight_decay", "beta1", "beta2", "gradient_clip",
    "dropout", "lora_alpha", "lora_dropout", "min_improvement", "spike_factor",
}  # fmt: skip


def check_settings(spec: "TrainSpec", *, has_base: bool) -> None:
    """Raises InvalidTraining naming the first field that cannot work, and what would."""
    _check_choices(spec)
    _check_numbers(spec)
    _check_source(spec, has_base=has_base)
    _check_tuning(spec, has_base=has_base)
    _check_sharing(spec)
    _check_course(spec)
    _check_samples(spec)


def _check_choices(spec: "TrainSpec") -> None:
    for name, allowed in _CHOICES.items():
        if getattr(spec, name) not in allowed:
            raise InvalidTraining(name, f"Choose one of {', '.join(allowed)}.")


def _check_numbers(spec: "TrainSpec") -> None:
    if not isinstance(spec.activation_checkpointing, bool):
        raise InvalidTraining("activation_checkpointing", "Must be true or false.")
    for name, (low, high) in BOUNDS.items():
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


def _check_source(spec: "TrainSpec", *, has_base: bool) -> None:
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


def _check_tuning(spec: "TrainSpec", *, has_base: bool) -> None:
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


def _check_sharing(spec: "TrainSpec") -> None:
    if spec.batch_size % spec.gradient_accumulation:
        raise InvalidTraining(
            "gradient_accumulation",
            f"The batch of {spec.batch_size} sequences cannot be cut into "
            f"{spec.gradient_accumulation} equal parts; choose a divisor of batch_size.",
        )
    if spec.micro_batch % spec.data_processes:
        raise InvalidTraining(
            "processes",
            cannot_share(
                f"micro-batch of {spec.micro_batch} sequences", spec.micro_batch, spec.processes
            ),
        )
    if spec.processes % spec.nodes:
        raise InvalidTraining("nodes", cannot_spread(spec.processes, spec.nodes))
    if spec.compile == "on" and spec.processes > 1 and spec.parallel != "ddp":
        raise InvalidTraining("compile", "Only whole models are compiled: use ddp, auto or off.")
    if spec.compile == "on" and spec.loss_on == "answers":
        raise InvalidTraining(
            "compile", "Only sequences of one length are compiled: use auto or off with answers."
        )


def _check_course(spec: "TrainSpec") -> None:
    if spec.min_learning_rate > spec.learning_rate:
        raise InvalidTraining("min_learning_rate", "Must not be larger than learning_rate.")
    if spec.steps > 1 and spec.warmup_steps >= spec.steps:
        raise InvalidTraining(
            "warmup_steps", f"Must be smaller than the number of steps ({spec.steps})."
        )
    if spec.patience and not spec.evaluate_every:
        raise InvalidTraining(
            "patience", "It counts looks at the validation loss: set evaluate_every."
        )
    if 0 < spec.spike_factor <= 1:
        raise InvalidTraining(
            "spike_factor", "Must be larger than 1, or 0 if no loss is to be taken for a spike."
        )
    if spec.on_divergence == "rewind" and spec.nodes > 1:
        raise InvalidTraining(
            "on_divergence", "Checkpoints lie on one node only: use stop or skip with several."
        )
    if spec.publish == "best" and spec.nodes > 1:
        raise InvalidTraining(
            "publish", "The best weights lie on one node only: publish the last with several."
        )
    if spec.on_divergence == "rewind" and not spec.checkpoint_every:
        raise InvalidTraining(
            "on_divergence", "Going back needs checkpoints: set checkpoint_every."
        )


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


def _check_samples(spec: "TrainSpec") -> None:
    prompts = spec.sample_prompts
    fits = isinstance(prompts, list | tuple) and len(prompts) <= MOST_PROMPTS
    if not fits or not all(isinstance(one, str) and len(one) <= LONGEST_PROMPT for one in prompts):
        raise InvalidTraining(
            "sample_prompts",
            f"Give up to {MOST_PROMPTS} texts of at most {LONGEST_PROMPT:,} characters each.",
        )
