"""One random Llama shape, written once in every format that a system reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPES: dict[str, dict[str, int]] = {
    "3m": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
           "vocab_size": 4096},
    "30m": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8,
            "vocab_size": 16384},
    "125m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
             "vocab_size": 32000},
}  # fmt: skip


class Silent:
    """Events of a conversion that nobody follows."""

    def log(self, text: str, level: str = "info") -> None:
        pass

    def progress(self, **values: Any) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def write_all(folder: Path, size: str, context: int, *, openvino: bool) -> int:
    """`fp32`, `int8` and `openvino-int8` below the folder; returns how many weights there are."""
    from workers.lm.formats import FORMATS

    shape = SHAPES[size]
    heads = shape["hidden_size"] // 64
    config = LlamaConfig(
        **shape,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 3) if heads % 3 == 0 else heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    source = folder / "fp32"
    model.save_pretrained(source)
    wanted = {"int8": "int8", **({"openvino": "openvino-int8"} if openvino else {})}
    for name, place in wanted.items():
        (folder / place).mkdir()
        FORMATS[name].write(source, folder / place, "int8", Silent())  # type: ignore[arg-type]
    return sum(weight.numel() for weight in model.parameters())
