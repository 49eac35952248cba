"""Which settings of a training do not fit together, and what would."""

from django.utils.translation import gettext as _
from pydantic_core import PydanticCustomError

from models_app.configs.specs.base import refuse
from models_app.configs.specs.training.machine import MachineSettings


def cross_checks(spec: MachineSettings) -> list[tuple[str, PydanticCustomError]]:
    """Settings that cannot go with others, each with what can."""
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
    return found + _tuning_checks(spec) + _course_checks(spec) + _node_checks(spec)


def _tuning_checks(spec: MachineSettings) -> list[tuple[str, PydanticCustomError]]:
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


def _course_checks(spec: MachineSettings) -> list[tuple[str, PydanticCustomError]]:
    """Of early stopping, divergence and compiling."""
    found: list[tuple[str, PydanticCustomError]] = []
    if spec.patience and not spec.evaluate_every:
        text = _("Patience counts looks at the validation loss: set “Evaluate every”.")
        found.append(("patience", refuse(text)))
    if 0 < spec.spike_factor <= 1:
        text = _("Use more than 1, or 0 if no loss is to be taken for a leap.")
        found.append(("spike_factor", refuse(text)))
    if spec.on_divergence == "rewind" and not spec.checkpoint_every:
        text = _("Going back needs checkpoints: set “Checkpoint every”.")
        found.append(("on_divergence", refuse(text)))
    if spec.compile == "on" and spec.processes > 1 and spec.parallel != "ddp":
        text = _("Only whole models are compiled: share the batch (ddp), or use auto or off.")
        found.append(("compile", refuse(text)))
    if spec.compile == "on" and spec.loss_on == "answers":
        text = _("Only sequences of one length are compiled: use auto or off with answers.")
        found.append(("compile", refuse(text)))
    return found


def _not_shared(spec: MachineSettings) -> str:
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


def _node_checks(spec: MachineSettings) -> list[tuple[str, PydanticCustomError]]:
    """Of several nodes: each gets as many processes as the others."""
    found: list[tuple[str, PydanticCustomError]] = []
    if spec.processes % spec.nodes:
        said = _(
            "%(processes)s processes cannot be spread evenly over %(nodes)s nodes. "
            "Use one of %(fitting)s."
        )
        fitting = _divisors(spec.processes, spec.nodes)
        words = {"processes": spec.processes, "nodes": spec.nodes, "fitting": fitting}
        found.append(("nodes", refuse(said % words)))
    if spec.nodes > 1 and spec.on_divergence == "rewind":
        text = _("Checkpoints lie on one node only: use stop or skip with several nodes.")
        found.append(("on_divergence", refuse(text)))
    if spec.nodes > 1 and spec.publish == "best":
        text = _("The best weights lie on one node only: publish the last with several nodes.")
        found.append(("publish", refuse(text)))
    return found


def _divisors(amount: int, wanted: int) -> str:
    """The numbers nearest to `wanted` that divide the amount."""
    fitting = [number for number in range(1, amount + 1) if amount % number == 0]
    nearest = sorted(sorted(fitting, key=lambda number: abs(number - wanted))[:8])
    return ", ".join(map(str, nearest))
