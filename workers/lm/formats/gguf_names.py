"""What llama.cpp calls the weights and settings of Llama-shaped and GPT-2-shaped models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.lm.errors import InvalidWork, UnusableModel

if TYPE_CHECKING:
    import torch

SHAPES = ("gpt2", "llama", "mistral")
_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")

_GPT2 = {
    "transformer.wte.weight": "token_embd.weight",
    "transformer.wpe.weight": "position_embd.weight",
    "transformer.ln_f.weight": "output_norm.weight",
    "transformer.ln_f.bias": "output_norm.bias",
    "lm_head.weight": "output.weight",
}
_GPT2_LAYER = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
_LLAMA = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LLAMA_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_LAYER = re.compile(r"(?:transformer\.h|model\.layers)\.(\d+)\.(.+)\.(weight|bias)")
#: Masks that old files of GPT-2 hold; they follow from the context.
_MASKS = re.compile(r".*\.attn\.(bias|masked_bias)")


@dataclass(frozen=True)
class Name:
    """One weight: its name in transformers and in GGUF, and how it is laid out there."""

    theirs: str
    ours: str
    #: Is [in, out] in transformers, as in GPT-2's layers.
    turned: bool = False
    #: Heads whose halves are interleaved in GGUF, as llama.cpp rotates pairs that lie together.
    heads: int = 0

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """From transformers to GGUF."""
        tensor = tensor.t() if self.turned else tensor
        if not self.heads:
            return tensor
        parts = tensor.reshape(self.heads, 2, tensor.shape[0] // self.heads // 2, *tensor.shape[1:])
        return parts.swapaxes(1, 2).reshape(tensor.shape)

    def backward(self, tensor: torch.Tensor) -> torch.Tensor:
        """From GGUF to transformers."""
        if self.heads:
            half = tensor.shape[0] // self.heads // 2
            parts = tensor.reshape(self.heads, half, 2, *tensor.shape[1:])
            tensor = parts.swapaxes(1, 2).reshape(tensor.shape)
        return tensor.t() if self.turned else tensor


def check_shape(config: Mapping[str, Any]) -> None:
    """Refuse what llama.cpp would compute otherwise (InvalidWork)."""
    kind = config.get("model_type")
    if kind not in SHAPES:
        raise _refused(
            f"GGUF is written for {', '.join(SHAPES)}, not for {kind}. Use ONNX or safetensors."
        )
    if kind == "gpt2":
        if config.get("activation_function", "gelu_new") not in _GELU:
            raise _refused("GGUF of GPT-2 knows only its own activation, gelu_new.")
        if config.get("scale_attn_by_inverse_layer_idx") or config.get("n_inner") not in (
            None, 4 * int(config.get("n_embd", 0)),
        ):  # fmt: skip
            raise _refused("GGUF of GPT-2 knows neither scaled layers nor another inner width.")
        return
    if config.get("hidden_act", "silu") != "silu":
        raise _refused("GGUF of Llama knows only the activation silu.")
    if _rope(config).get("rope_type", "default") != "default":
        raise _refused("Scaled rotary positions cannot be written as GGUF here.")
    window = config.get("sliding_window")
    if window and window < int(config.get("max_position_embeddings", 0)):
        raise _refused("llama.cpp ignores the sliding window of this model; use ONNX.")


def names_of(config: Mapping[str, Any], weights: Set[str]) -> list[Name]:
    """Every weight of a model, or UnusableModel for one that has no place in GGUF."""
    gpt2 = config.get("model_type") == "gpt2"
    tied = config.get("tie_word_embeddings", gpt2)
    heads = int(config.get("num_attention_heads") or 0)
    rotated = {"attn_q": heads, "attn_k": int(config.get("num_key_value_heads") or heads)}
    found = []
    for theirs in sorted(weights):
        if _MASKS.fullmatch(theirs) or (tied and theirs == "lm_head.weight"):
            continue
        if ours := (_GPT2 if gpt2 else _LLAMA).get(theirs):
            found.append(Name(theirs, ours))
            continue
        part = _LAYER.fullmatch(theirs)
        stem = (_GPT2_LAYER if gpt2 else _LLAMA_LAYER).get(part[2]) if part else None
        if part is None or stem is None:
            raise UnusableModel(f"The weight {theirs} has no place in a GGUF file.")
        turned = gpt2 and part[3] == "weight" and not stem.endswith("norm")
        ours = f"blk.{part[1]}.{stem}.{part[3]}"
        found.append(Name(theirs, ours, turned, 0 if gpt2 else rotated.get(stem, 0)))
    return found


def describe(writer: Any, config: Mapping[str, Any], precision: str) -> None:
    """The settings under which llama.cpp builds the model."""
    import gguf

    files = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_type("model")
    writer.add_name(str(config.get("_name_or_path") or config["model_type"]))
    writer.add_file_type(gguf.LlamaFileType[files[precision]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(int(config["vocab_size"]))
    if config["model_type"] == "gpt2":
        _describe_gpt2(writer, config)
    else:
        _describe_llama(writer, config)


def _describe_gpt2(writer: Any, config: Mapping[str, Any]) -> None:
    writer.add_block_count(int(config.get("n_layer", 12)))
    writer.add_context_length(int(config.get("n_positions", 1024)))
    writer.add_embedding_length(int(config.get("n_embd", 768)))
    writer.add_feed_forward_length(4 * int(config.get("n_embd", 768)))
    writer.add_head_count(int(config.get("n_head", 12)))
    writer.add_layer_norm_eps(float(config.get("layer_norm_epsilon", 1e-5)))


def _describe_llama(writer: Any, config: Mapping[str, Any]) -> None:
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    head = int(config.get("head_dim") or width // heads)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config.get("max_position_embeddings", 2048)))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    base = _rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0
    writer.add_rope_freq_base(float(base))


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _refused(text: str) -> InvalidWork:
    return InvalidWork("format", text)
