"""A LoRA adapter merged into its base: one whole model that needs no adapter any more."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.lm.formats.base import EXACT, Precision, Reader, copy_companions, register
from workers.lm.formats.plain import Plain

if TYPE_CHECKING:
    from workers.lm.events import Events

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
#: Where a source that is an adapter has its base.
BASE = "base"


@register
class Merged(Plain):
    name = "merged"
    label = "Merged LoRA adapter"
    purpose = "An adapter and its base as one whole version, which can be trained and served."
    produces = "safetensors"
    place = 6
    precisions = (Precision("fp32", 4, EXACT),)
    packages = ("peft",)
    extra = "worker"
    takes = "adapter"
    memory_per_weight = 16.0

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        whole = adapted_model(source)
        events.log("The adapter is merged into its base.")
        whole.save_pretrained(out)
        copy_companions(source / BASE, out)
        copy_companions(source, out)  # a tokenizer that came with the adapter goes first


def open_adapter(source: Path, threads: int) -> Reader:
    """The base with its adapter beside it, as the reference of a merge."""
    from workers.lm.formats.weights import TorchReader

    return TorchReader(_with_adapter(source))


def adapted_model(source: Path) -> Any:
    """An adapter and the base beside it as one model, in memory."""
    return _with_adapter(source).merge_and_unload(safe_merge=True)


def _with_adapter(source: Path) -> Any:
    from workers.lm.errors import InvalidWork, UnusableModel
    from workers.lm.families.transformer import load_model

    if not (source / WEIGHTS).is_file() or not (source / CONFIG).is_file():
        raise UnusableModel(f"An adapter has {CONFIG} and {WEIGHTS}; one of them is missing.")
    try:
        config = json.loads((source / CONFIG).read_text())
    except ValueError as error:
        raise UnusableModel(f"{CONFIG} is not JSON.") from error
    if config.get("peft_type") != "LORA":
        raise InvalidWork(
            "version", f"Only LoRA adapters are merged, not {config.get('peft_type')}."
        )
    if config.get("auto_mapping") or config.get("custom_modules"):
        raise UnusableModel(f"{CONFIG} asks for code of its own.")
    logging.getLogger("peft").setLevel(logging.ERROR)
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(load_model(source / BASE), str(source))
    except (ValueError, KeyError, RuntimeError) as error:
        line = str(error).splitlines()[0][:300]
        raise UnusableModel(f"The adapter does not fit its base: {line}") from error
