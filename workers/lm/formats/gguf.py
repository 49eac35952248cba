"""GGUF: one file with weights, tokenizer and settings, for llama.cpp and what is built on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.formats.base import (
    EIGHT_BIT,
    HALF,
    Format,
    Precision,
    Reader,
    copy_companions,
    register,
    stop_if_asked,
)

if TYPE_CHECKING:
    from workers.lm.events import Events

FILE = "model.gguf"
#: Names of number types in gguf's words.
TYPES = {"q8_0": "Q8_0", "f16": "F16", "bf16": "BF16", "f32": "F32"}


@register
class Gguf(Format):
    name = "gguf"
    label = "GGUF"
    purpose = "One file for llama.cpp, Ollama and LM Studio: laptops and small servers."
    produces = "gguf"
    place = 3
    precisions = (
        Precision("q8_0", 1.07, EIGHT_BIT),
        Precision("f16", 2, HALF),
        Precision("bf16", 2, HALF),
        # llama.cpp has its own approximation of GELU, and rounds what it multiplies.
        Precision("f32", 4, HALF),
    )
    packages = ("gguf",)
    extra = "worker"
    suffixes = (".gguf",)

    def check(self, config: Mapping[str, Any]) -> None:
        from workers.lm.formats.gguf_names import check_shape

        check_shape(config)

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        import gguf

        from workers.lm.formats.gguf_names import describe, names_of
        from workers.lm.formats.gguf_vocabulary import add_vocabulary
        from workers.lm.formats.weights import Weights, read_config

        logging.getLogger("gguf").setLevel(logging.ERROR)
        config = read_config(source)
        self.check(config)
        weights = Weights(source)
        kind = gguf.GGMLQuantizationType[TYPES[precision]]
        writer = gguf.GGUFWriter(
            str(out / FILE), "gpt2" if config["model_type"] == "gpt2" else "llama"
        )
        describe(writer, config, precision)
        add_vocabulary(writer, source, int(config["vocab_size"]))
        names = names_of(config, set(weights))
        # Names, types and shapes go first, then one tensor after the other.
        plan = []
        for name in names:
            shape = weights.shape(name.theirs)
            if name.turned:
                shape = shape[::-1]
            plan.append((name, self._kind(gguf, kind, name.ours, shape)))
            _announce(gguf, writer, name.ours, shape, plan[-1][1])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for number, (name, chosen) in enumerate(plan):
            stop_if_asked(events, number)
            array = name.forward(weights[name.theirs]).contiguous().numpy()
            writer.write_tensor_data(gguf.quants.quantize(array, chosen))
            events.progress(
                step=number + 1, total=len(plan), stage="converting",
                percent=100 * (number + 1) / len(plan), eta_s=None,
            )  # fmt: skip
        writer.close()
        copy_companions(source, out, more=["config.json"])

    @staticmethod
    def _kind(gguf: Any, kind: Any, name: str, shape: tuple[int, ...]) -> Any:
        """Vectors and positions stay whole; rows that do not fill blocks are halved only."""
        types = gguf.GGMLQuantizationType
        if len(shape) < 2 or name.startswith("position_embd"):
            return types.F32
        if kind == types.Q8_0 and shape[-1] % 32:
            return types.F16
        return kind

    def open(self, folder: Path, threads: int) -> Reader:
        from workers.lm.formats.weights import TorchReader

        reader = TorchReader(read_back(folder))
        reader.engine = "gguf, read back"
        return reader


def _announce(gguf: Any, writer: Any, name: str, shape: tuple[int, ...], kind: Any) -> None:
    import numpy

    size = 1
    for length in shape:
        size *= length
    if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
        dtype: Any = numpy.float32 if kind == gguf.GGMLQuantizationType.F32 else numpy.float16
        writer.add_tensor_info(name, shape, numpy.dtype(dtype), size * numpy.dtype(dtype).itemsize)
        return
    packed = gguf.quants.quant_shape_to_byte_shape(shape, kind)
    total = 1
    for length in packed:
        total *= length
    writer.add_tensor_info(name, packed, numpy.dtype(numpy.uint8), total, raw_dtype=kind)


def read_back(folder: Path) -> Any:
    """The model of a GGUF file as transformers computes it, from the file's own tensors."""
    import gguf
    import numpy
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from workers.lm.formats.gguf_names import names_of
    from workers.lm.formats.weights import read_config

    config = read_config(folder)
    try:
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / FILE).tensors}
    except (ValueError, OSError, IndexError) as error:
        raise UnusableModel(f"{FILE} is damaged or not whole ({error}).") from error
    auto_model: Any = AutoModelForCausalLM
    model: Any = auto_model.from_config(
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    ).float()
    state = model.state_dict()
    filled = set()
    for name in names_of(config, set(state)):
        if name.ours not in tensors:
            continue
        found = tensors[name.ours]
        array = gguf.quants.dequantize(found.data, found.tensor_type)
        value = name.backward(torch.from_numpy(numpy.array(array, numpy.float32)))
        if value.shape != state[name.theirs].shape:
            raise InvalidWork("format", f"{name.ours} has another shape than {name.theirs}.")
        state[name.theirs].copy_(value)
        filled.add(name.theirs)
    model.tie_weights()
    missing = [name for name, _value in model.named_parameters() if name not in filled]
    if missing:
        raise UnusableModel(f"{FILE} lacks {missing[0]}.")
    return model
