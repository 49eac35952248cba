"""Settings that cannot work are refused with the field's name."""

import dataclasses

import pytest

from workers.lm.errors import InvalidTraining
from workers.lm.training.spec import TrainSpec

pytestmark = pytest.mark.nodb

GOOD = TrainSpec(preset="gpt2-1m")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("steps", {"steps": 0}),
        ("steps", {"steps": 2.5}),
        ("steps", {"steps": True}),
        ("learning_rate", {"learning_rate": float("nan")}),
        ("learning_rate", {"learning_rate": 0.0}),
        ("learning_rate", {"learning_rate": -1e-3}),
        ("activation_checkpointing", {"activation_checkpointing": "yes"}),
        ("checkpoint_in_background", {"checkpoint_in_background": "maybe"}),
        ("publish", {"publish": "worst"}),
        ("min_improvement", {"min_improvement": float("inf")}),
        ("min_learning_rate", {"min_learning_rate": 0.5}),
        ("warmup_steps", {"warmup_steps": 1000}),
        ("dropout", {"dropout": 1.0}),
        ("schedule", {"schedule": "zigzag"}),
        ("precision", {"precision": "fp8"}),
        ("tokenizer", {"tokenizer": "words"}),
        ("tokenizer", {"tokenizer": "base"}),
        ("vocab_size", {"vocab_size": 10**6}),
        ("gradient_accumulation", {"batch_size": 6, "gradient_accumulation": 4}),
        ("gradient_accumulation", {"batch_size": 2, "gradient_accumulation": 4}),
        ("preset", {"preset": None}),
        ("architecture", {"architecture": {"model_type": "gpt2"}}),
        ("seed", {"seed": -1}),
    ],
)
def test_nonsense_is_refused_beside_its_field(field, changes):
    with pytest.raises(InvalidTraining) as caught:
        dataclasses.replace(GOOD, **changes).check()
    assert caught.value.field == field
    assert caught.value.message.endswith(".")


def test_a_base_decides_shape_and_tokenizer():
    TrainSpec(tokenizer="base").check(has_base=True)
    for changes, field in (({"preset": "gpt2-1m"}, "preset"), ({"tokenizer": "bpe"}, "tokenizer")):
        with pytest.raises(InvalidTraining) as caught:
            TrainSpec(**{"tokenizer": "base", **changes}).check(has_base=True)
        assert caught.value.field == field


def test_plain_data_and_back():
    GOOD.check()
    assert TrainSpec.from_dict(GOOD.to_dict()) == GOOD
    with pytest.raises(InvalidTraining, match="no such training setting"):
        TrainSpec.from_dict({"step": 5})
