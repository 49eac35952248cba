"""Tiny models with random weights and a byte-level tokenizer, built on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

VOCABULARY = 300
EOS, BOS = 0, 1
CONTEXT = 128

_CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "user: hello there, assistant: good day",
    "stop words and streams of tokens",
    "naïve café 你好 世界 über",
] * 8


def tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE with two special tokens: every byte can be written and read."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<eos>", "<bos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", bos_token="<bos>")
    if chat_template:
        fast.chat_template = chat_template
    return fast


def config(kind: str, **changes: Any) -> Any:
    """A configuration of the named architecture with two small layers."""
    shared = {"vocab_size": VOCABULARY, "bos_token_id": BOS, "eos_token_id": EOS}
    modern = {
        **shared,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.4,
    }
    if kind == "gpt2":
        return GPT2Config(
            **{
                **shared,
                "n_embd": 32,
                "n_layer": 2,
                "n_head": 4,
                "n_positions": CONTEXT,
                "initializer_range": 0.4,
                **changes,
            }
        )
    if kind == "gpt_neox":
        return GPTNeoXConfig(**{**modern, **changes})
    classes = {"llama": LlamaConfig, "qwen2": Qwen2Config, "mistral": MistralConfig}
    return classes[kind](**{**modern, "num_key_value_heads": 2, **changes})


def model(kind: str, seed: int = 1, **changes: Any) -> PreTrainedModel:
    """A model with random weights, spread wide enough that greedy answers vary."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config(kind, **changes)).eval()


def save(
    directory: Path, kind: str = "llama", *, chat_template: str | None = None, **changes: Any
) -> Path:
    """A complete model directory."""
    model(kind, **changes).save_pretrained(directory)
    tokenizer(chat_template).save_pretrained(directory)
    return directory
