"""Folders of tiny models and adapters as they come from outside, and hand-made weights."""

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy

from tests.factories.data import sample_text

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip


@cache
def _made(kind: str, tied: bool, seed: int) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from workers.lm.tokenizers.bytepair import learn_bytepair
    from workers.lm.tokenizers.saved import save_tokenizer

    folder = Path(mkdtemp(prefix="tiny-model-"))
    tokenizer = learn_bytepair([sample_text().decode()], 300)
    shape = SHAPE if kind != "gpt2" else {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
    }  # fmt: skip
    end = tokenizer.eos_token_id
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), tie_word_embeddings=tied, bos_token_id=end,
        eos_token_id=end, pad_token_id=None, **shape,
    )  # fmt: skip
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def model_folder(folder: Path, *, kind: str = "llama", tied: bool = True, seed: int = 1) -> Path:
    """A model with random weights as transformers saves it, and its tokenizer."""
    shutil.copytree(_made(kind, tied, seed), folder, dirs_exist_ok=True)
    return folder


def safetensors_bytes(tensors: Mapping[str, Any], **changes: Any) -> bytes:
    """A file of the format, put together by hand; `changes` go into the header as they are."""
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64", "int8": "I8"}
    header: dict[str, Any] = {}
    body = b""
    for name, value in tensors.items():
        array = numpy.ascontiguousarray(value)
        data = array.tobytes()
        header[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps({**header, **changes}).encode()
    return len(text).to_bytes(8, "little") + text + body


def read_tensors(path: Path) -> dict[str, Any]:
    """Arrays of a file by name."""
    from safetensors.numpy import load_file

    return dict(load_file(path))


def adapter_folder(
    folder: Path, *, rank: int = 4, seed: int = 1, width: int = 32, layers: int = 2,
    base: str = "team/base", **config: Any,
) -> Path:  # fmt: skip
    """A LoRA adapter of q_proj and v_proj as peft saves it, without peft."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = numpy.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        for part in ("q_proj", "v_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            tensors[f"{name}.lora_A.weight"] = numbers.normal(size=(rank, width))
            tensors[f"{name}.lora_B.weight"] = numbers.normal(size=(width, rank))
    small = {name: value.astype("float32") for name, value in tensors.items()}
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(small))
    values = {
        "peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none",
        "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "lora_dropout": 0.0,
        "base_model_name_or_path": base, "fan_in_fan_out": False, "modules_to_save": None,
        "auto_mapping": None, "rank_pattern": {}, "alpha_pattern": {}, "use_dora": False,
        "inference_mode": True, **config,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None removes one."""
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
