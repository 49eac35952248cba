"""Safetensors with 8-bit weights: a quarter of the size, served by Slipway itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from workers.lm.formats.base import (
    EIGHT_BIT,
    Format,
    Precision,
    Reader,
    copy_companions,
    register,
    stop_if_asked,
)

if TYPE_CHECKING:
    from workers.lm.events import Events

FILE = "model.int8.safetensors"


def is_int8(folder: Path) -> bool:
    """Whether a model folder holds 8-bit weights."""
    return (folder / FILE).is_file()


@register
class Int8(Format):
    name = "int8"
    label = "Safetensors, 8-bit weights"
    purpose = "A quarter of the size; evaluated and served here."
    produces = "int8"
    place = 1
    precisions = (Precision("int8", 1.0, EIGHT_BIT),)
    suffixes = (".int8.safetensors",)

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        from safetensors.torch import save_file

        from workers.lm.errors import InvalidWork
        from workers.lm.families.transformer import load_model
        from workers.lm.formats.weights import Weights, read_config
        from workers.lm.int8 import module_weights, quantise

        Weights(source)  # names what is damaged before a library does
        model = load_model(source)
        kinds = module_weights(model)
        if not kinds:
            raise InvalidWork("format", "No linear layer of this architecture is known.")
        tensors = {}
        state = model.state_dict()
        tied = {id(value): key for key, value in reversed(list(model.named_parameters()))}
        own = set(tied.values())
        for number, (name, tensor) in enumerate(state.items()):
            stop_if_asked(events, number)
            if name in kinds and name in own:
                weights, scales = quantise(tensor, by_column=kinds[name] == "column")
                tensors[name] = weights.contiguous()
                tensors[f"{name}.scale"] = scales
            elif name not in kinds and name in dict(model.named_parameters()):
                tensors[name] = tensor.float().contiguous()
            events.progress(
                step=number + 1, total=len(state), stage="converting",
                percent=100 * (number + 1) / len(state), eta_s=None,
            )  # fmt: skip
        save_file(tensors, out / FILE, metadata={"format": "slipway-int8-1"})
        (out / "config.json").write_text(json.dumps(read_config(source), indent=2))
        copy_companions(source, out)

    def open(self, folder: Path, threads: int) -> Reader:
        from workers.lm.formats.weights import TorchReader
        from workers.lm.int8 import load_int8

        return TorchReader(load_int8(folder))
