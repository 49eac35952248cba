"""Adapters of a tiny model as peft itself makes and saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tests.workers.lm.inference import tiny

#: Layers of a Llama that adapters usually change, and of a GPT-2.
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CONVOLUTIONS = ["c_attn", "c_proj", "c_fc"]


def save(folder: Path, *, kind: str = "llama", seed: int = 0, **options: Any) -> Path:
    """Saves one whose factors are all random, so that it really changes answers."""
    wanted = {"r": 4, "lora_alpha": 16, "target_modules": LINEAR, "task_type": "CAUSAL_LM"}
    model = get_peft_model(tiny.model(kind), LoraConfig(**{**wanted, **options}))
    chance = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=chance) * 0.3
    model.save_pretrained(folder)
    return folder
