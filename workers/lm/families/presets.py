"""Ready-made model shapes, as plain transformers configurations."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A shape with the vocabulary and the context it is meant for."""

    name: str
    label: str
    architecture: dict[str, Any]
    vocab_size: int
    sequence_length: int

    def config(self) -> dict[str, Any]:
        """The whole configuration at its default vocabulary and context."""
        context = "n_positions" if "n_embd" in self.architecture else "max_position_embeddings"
        return {
            **deepcopy(self.architecture),
            "vocab_size": self.vocab_size,
            context: self.sequence_length,
        }


def _gpt2(
    width: int, layers: int, heads: int, activation: str = "gelu_pytorch_tanh"
) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_embd": width,
        "n_layer": layers,
        "n_head": heads,
        # By default the same function as gelu_new, in one kernel instead of eight.
        "activation_function": activation,
        "tie_word_embeddings": True,
    }


def _llama(
    width: int, layers: int, heads: int, inner: int, *, kv_heads: int, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "tie_word_embeddings": tied,
    }


_ALL = (
    Preset(name="nanogpt-cpu", label="nanoGPT's processor recipe, 0.8 M (GPT-2 shape)",
           # nanoGPT takes the exact function; on a processor it is also the quicker one.
           architecture=_gpt2(128, 4, 4, activation="gelu"), vocab_size=67, sequence_length=64),
    Preset(name="gpt2-1m", label="GPT-2 shape, 1 M",
           architecture=_gpt2(128, 4, 4), vocab_size=2048, sequence_length=256),
    Preset(name="gpt2-5m", label="GPT-2 shape, 5 M",
           architecture=_gpt2(256, 5, 8), vocab_size=4096, sequence_length=256),
    Preset(name="gpt2-30m", label="GPT-2 shape, 30 M",
           architecture=_gpt2(512, 8, 8), vocab_size=8192, sequence_length=512),
    Preset(name="gpt2-124m", label="GPT-2 small, 124 M",
           architecture=_gpt2(768, 12, 12), vocab_size=50257, sequence_length=1024),
    Preset(name="llama-1m", label="Llama shape, 1 M",
           architecture=_llama(128, 4, 4, 344, kv_heads=4, tied=True),
           vocab_size=2048, sequence_length=256),
    Preset(name="llama-5m", label="Llama shape, 5 M",
           architecture=_llama(256, 5, 8, 688, kv_heads=8, tied=True),
           vocab_size=4096, sequence_length=256),
    Preset(name="llama-30m", label="Llama shape, 30 M",
           architecture=_llama(512, 8, 8, 1376, kv_heads=8, tied=True),
           vocab_size=8192, sequence_length=512),
    Preset(name="llama-125m", label="Llama shape, 125 M",
           architecture=_llama(768, 12, 12, 2048, kv_heads=4, tied=False),
           vocab_size=32000, sequence_length=1024),
)  # fmt: skip

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
