"""What a change of a setting brings about, in words for the page of a comparison."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

SHAPE = ("preset", "architecture", "tokenizer", "vocab_size")
REPORTED = ("evaluate_every", "evaluation_batches", "checkpoint_every", "keep_checkpoints",
            "log_every", "checkpoint_in_background", "sample_prompts",
            "sample_tokens")  # fmt: skip
LEARNT = ("learning_rate", "min_learning_rate", "warmup_steps", "schedule", "weight_decay", "beta1",
          "beta2", "gradient_clip", "dropout", "sampling", "lora_alpha", "lora_dropout",
          "lora_targets")  # fmt: skip
LENGTH = ("steps", "batch_size", "sequence_length")


def training_effects(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Of two trainings."""
    words = {
        **dict.fromkeys(SHAPE, _("Another shape of model.")),
        **dict.fromkeys(REPORTED, _("The same weights; something else is reported or kept.")),
        **dict.fromkeys(LEARNT, _("Other weights at the end.")),
        **dict.fromkeys(LENGTH, _seen(old, new)),
        "seed": _("Other weights at the start and another order of the data."),
        "gradient_accumulation": _memory(
            old.get("gradient_accumulation"), new.get("gradient_accumulation"), inverse=True
        ),
        "threads": _("The same weights at another speed."),
        "loss_on": _learnt(new.get("loss_on")),
        "lora_rank": _adapted(old.get("lora_rank"), new.get("lora_rank")),
        "processes": _("The same weights but for rounding, at another speed."),
        "nodes": _("The same weights at another speed."),
        "parallel": _("The same weights but for rounding, another amount of memory and speed."),
        "patience": _patience(old.get("patience"), new.get("patience")),
        "min_improvement": _("It gives up sooner or later."),
        "publish": _published(new.get("publish")),
        "on_divergence": _diverged(new.get("on_divergence")),
        "spike_factor": _("Other losses count as leaps; the same weights where there are none."),
        "divergence_budget": _("More or fewer steps that diverge are put up with."),
        "activation_checkpointing": _recomputed(new.get("activation_checkpointing")),
        "compile": _("The same weights but for rounding, at another speed."),
        "precision": _("Other rounding, another speed and amount of memory."),
    }
    return {name: text for name, text in words.items() if old.get(name) != new.get(name) and text}


def serving_effects(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Of two ways to serve the same version."""
    words = {
        "replicas": _replicas(old.get("replicas"), new.get("replicas")),
        "threads": _("Another speed of each replica."),
        "max_slots": _memory(old.get("max_slots"), new.get("max_slots")),
        "max_context": _("Another longest request; the memory of the cache follows it."),
        "dtype": _("Weights and cache take half the memory.")
        if new.get("dtype") == "bf16"
        else _("Weights and cache take twice the memory."),
        "prefix_cache": _("The same answers; other time to the first token, and other memory."),
        "draft": _("The same answers at another speed."),
        "draft_tokens": _("The same answers at another speed."),
        "keep_warm_s": _warm(old.get("keep_warm_s"), new.get("keep_warm_s")),
    }
    return {name: text for name, text in words.items() if old.get(name) != new.get(name) and text}


def _learnt(what: Any) -> str:
    if what == "answers":
        return _("Only answers are learned; questions and instructions are read.")
    return _("Every token is learned, questions as well as answers.")


def _patience(old: Any, new: Any) -> str:
    if not new:
        return _("It runs to its last step, improving or not.")
    if not old:
        return _("It ends when it no longer improves.")
    return _("It gives up sooner or later.")


def _published(which: Any) -> str:
    if which == "best":
        return _("The version gets the weights with the lowest validation loss.")
    return _("The version gets the weights of the last step.")


def _diverged(how: Any) -> str:
    words = {
        "stop": _("A step that diverges ends the training."),
        "skip": _("A step that diverges is left out."),
        "rewind": _("From a step that diverges the training goes back to its newest checkpoint."),
    }
    return words.get(str(how), "")


def _recomputed(new: Any) -> str:
    if new:
        return _("Far less memory and about a third more time, the same result.")
    return _("More memory and less time, the same result.")


def _adapted(old: Any, new: Any) -> str:
    if bool(old) == bool(new):
        return _("Another size of adapter: memory, file and what it can learn.")
    if new:
        return _("A small adapter of the base instead of a whole model; far less memory.")
    return _("A whole model instead of an adapter; far more memory.")


def _seen(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = (_product(spec) for spec in (old, new))
    if not before or not after:
        return ""
    if before == after:
        return _("As many tokens in all.")
    return _("%(ratio)s times the tokens in all.") % {"ratio": f"{after / before:.3g}"}


def _product(spec: Mapping[str, Any]) -> int:
    found = 1
    for name in LENGTH:
        value = spec.get(name)
        found *= value if isinstance(value, int) else 0
    return found


def _memory(old: Any, new: Any, inverse: bool = False) -> str:
    if not isinstance(old, int) or not isinstance(new, int):
        return ""
    more = new < old if inverse else new > old
    if inverse:
        return _("More memory, the same result.") if more else _("Less memory, the same result.")
    return _("More memory for the cache.") if more else _("Less memory for the cache.")


def _replicas(old: Any, new: Any) -> str:
    if not isinstance(old, int) or not isinstance(new, int):
        return ""
    if new > old:
        return _("More model servers answer, which takes more memory.")
    return _("Fewer model servers answer, which takes less memory.")


def _warm(old: Any, new: Any) -> str:
    if not isinstance(old, int) or not isinstance(new, int):
        return ""
    if new > old:
        return _("A roll-back takes effect at once for longer.")
    return _("A roll-back takes effect at once for a shorter time.")
