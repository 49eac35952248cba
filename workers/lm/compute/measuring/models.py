"""Real, small models to be measured."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def small_model(model_type: str, device: torch.device, **sizes: int) -> Any:
    """A causal model of these sizes on the device, ready to be trained."""
    config = AutoConfig.for_model(model_type, bos_token_id=0, eos_token_id=0, **sizes)
    auto: Any = AutoModelForCausalLM
    return auto.from_config(config).to(device).train()
