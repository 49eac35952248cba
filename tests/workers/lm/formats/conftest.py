"""A tiny model of each shape with a character tokenizer, as a training would have left it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.workers.lm.recording import sentences
from workers.lm.families.lora import save_weights
from workers.lm.tokenizers.character import learn_characters
from workers.lm.training.export import export_model

SHAPES = {
    "gpt2": {
        "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 48,
        "activation_function": "gelu_pytorch_tanh",
    },
    "llama": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 64, "max_position_embeddings": 48,
        "tie_word_embeddings": True,
    },
}  # fmt: skip


def make(folder, shape, **changes):
    tokenizer = learn_characters([*sentences(30), "é中文"], 80)
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        shape, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0,
        **{**SHAPES[shape], **changes},
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    export_model(model, tokenizer, {}, folder, save_weights)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """`models["gpt2"]`, `models["llama"]`: folders nobody may change."""
    root = tmp_path_factory.mktemp("models")
    return {shape: make(root / shape, shape) for shape in SHAPES}


@pytest.fixture(scope="session")
def adapter(models, tmp_path_factory):
    """A LoRA adapter with weights that matter, and its base in `base`."""
    import shutil

    from peft import LoraConfig, get_peft_model

    from workers.lm.families.transformer import load_model

    folder = tmp_path_factory.mktemp("adapter") / "source"
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(load_model(models["llama"]), config)
    torch.manual_seed(4)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    shutil.copytree(models["llama"], folder / "base")
    return folder
