"""Building and reading transformer models, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.families.transformer import (
    MODEL_TYPES,
    architecture_of,
    build_config,
    check_architecture,
    context_of,
    load_model,
    new_model,
)
from workers.lm.tokenizers.bytepair import learn_bytepair
from workers.lm.training.spec import TrainSpec

pytestmark = pytest.mark.nodb

TINY = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 48, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return learn_bytepair(iter(["a few words"]), 270)


def tiny_model(tokenizer, seed=1, **changes):
    spec = TrainSpec(architecture={**TINY, **changes}, sequence_length=16, dropout=0.1)
    return new_model(build_config(spec, architecture_of(spec), tokenizer), seed)


def test_weights_follow_from_the_seed(tokenizer):
    one, same, other = (tiny_model(tokenizer, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_configuration_speaks_the_tokenizer_and_the_trained_context(tokenizer):
    config = tiny_model(tokenizer).config
    assert config.vocab_size == len(tokenizer)
    assert config.eos_token_id == tokenizer.eos_token_id
    assert context_of(config) == 16
    assert config.attention_dropout == 0.1
    gpt2 = TrainSpec(preset="gpt2-1m", sequence_length=48)
    assert context_of(build_config(gpt2, architecture_of(gpt2), tokenizer)) == 48


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_allowed_family_learns(tokenizer, model_type):
    names = ("n_embd", "n_layer", "n_head") if model_type == "gpt2" else (
        "hidden_size", "num_hidden_layers", "num_attention_heads"
    )  # fmt: skip
    architecture = dict(zip(names, (32, 1, 2), strict=True), model_type=model_type)
    if model_type not in ("gpt2",):
        architecture["intermediate_size"] = 48
    if model_type not in ("gpt2", "gpt_neox"):
        architecture["num_key_value_heads"] = 2
    if model_type in ("qwen3", "gemma"):
        architecture["head_dim"] = 16
    spec = TrainSpec(architecture=architecture, sequence_length=16)
    model = new_model(build_config(spec, architecture_of(spec), tokenizer), 1)
    ids = torch.arange(12).view(1, 12)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mamba"}, "model_type must be one of"),
        ({"auto_map": {}}, "auto_map is not allowed"),
        ({"quantization_config": {}}, "quantization_config is not allowed"),
        ({"_attn_implementation_internal": "x"}, "is not allowed"),
        ({"num_hidden_layers": 10**6}, "whole number from 1 to 256"),
        ({"num_hidden_layers": 0}, "whole number"),
        ({"hidden_size": "32"}, "whole number"),
        ({"hidden_size": 33}, "cannot be shared"),
    ],
)
def test_dangerous_or_senseless_shapes_are_refused(changes, said):
    with pytest.raises(InvalidTraining, match=said) as caught:
        check_architecture({**TINY, **changes})
    assert caught.value.field == "architecture"


def test_context_must_hold_the_sequence():
    spec = TrainSpec(architecture={**TINY, "max_position_embeddings": 8}, sequence_length=16)
    with pytest.raises(InvalidTraining, match="only 8 tokens"):
        architecture_of(spec)
    with pytest.raises(InvalidTraining, match="Choose one of"):
        architecture_of(TrainSpec(preset="gpt9"))


@pytest.fixture
def saved(tokenizer, tmp_path):
    folder = tmp_path / "model"
    tiny_model(tokenizer).save_pretrained(folder)
    return folder


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_saved_model_is_read_back_exactly(saved, tokenizer):
    weights = tiny_model(tokenizer).state_dict()
    assert all(torch.equal(weights[n], w) for n, w in load_model(saved).state_dict().items())


def test_missing_or_additional_weights_are_refused(saved):
    change_weights(saved, lambda weights: weights.pop("model.norm.weight"))
    with pytest.raises(UnusableModel, match="missing_keys"):
        load_model(saved)
    change_weights(
        saved, lambda w: w.update({"model.norm.weight": torch.ones(32), "more": torch.ones(1)})
    )
    with pytest.raises(UnusableModel, match="unexpected_keys"):
        load_model(saved)


def test_weights_that_are_not_numbers_are_refused(saved):
    change_weights(saved, lambda weights: weights["model.norm.weight"].fill_(float("nan")))
    with pytest.raises(UnusableModel, match="finite"):
        load_model(saved)


def test_links_and_paths_out_of_the_folder_are_refused(saved):
    index = saved / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../other/model.safetensors"}}))
    with pytest.raises(UnusableModel, match="not a file beside it"):
        load_model(saved)
    index.unlink()
    (saved / "link.json").symlink_to(saved / "config.json")
    with pytest.raises(UnusableModel, match="is a link"):
        load_model(saved)


def test_a_folder_that_is_no_model_is_refused(saved):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(UnusableModel, match=r"no model\.safetensors"):
        load_model(saved)
    (saved / "config.json").unlink()
    with pytest.raises(UnusableModel, match=r"no config\.json"):
        load_model(saved)
