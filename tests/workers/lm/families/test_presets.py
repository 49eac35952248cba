"""Ready-made shapes are what their names say."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from workers.lm.compute.memory import count_parameters
from workers.lm.families.presets import PRESETS
from workers.lm.families.transformer import check_architecture

pytestmark = pytest.mark.nodb

MILLIONS = {
    "nanogpt-cpu": 0.8, "gpt2-1m": 1, "gpt2-5m": 5, "gpt2-30m": 30, "gpt2-124m": 124,
    "llama-1m": 1, "llama-5m": 5, "llama-30m": 30, "llama-125m": 125,
}  # fmt: skip


def test_all_sizes_are_there():
    assert set(PRESETS) == set(MILLIONS)


@pytest.mark.parametrize("name", PRESETS)
def test_size_is_as_named_and_counted_exactly(name):
    config = PRESETS[name].config()
    check_architecture(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**config, bos_token_id=0, eos_token_id=0)
        )
    parameters = sum(weight.numel() for weight in model.parameters())
    assert parameters == count_parameters(config)
    assert parameters / 1e6 == pytest.approx(MILLIONS[name], rel=0.1)
