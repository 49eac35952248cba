"""Greedy answers of the engine are those of `generate`, token for token, whatever arrives when."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPTJConfig,
    MambaConfig,
    PreTrainedModel,
)

from tests.workers.lm.inference import tiny
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.engine import Engine
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.probe import choose_runner

TEXT = TokenizerText(tiny.tokenizer())


def _generate(model: PreTrainedModel, prompt: list[int], length: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=length,
        do_sample=False,
        eos_token_id=tiny.EOS,
        pad_token_id=tiny.EOS,
    )
    return out[0, len(prompt) :].tolist()


def _check(model: PreTrainedModel, reference: PreTrainedModel, mode: str, **limits: Any) -> None:
    """Nine requests of mixed lengths arrive while others run; three are cancelled midway."""
    sizes = {"context_length": tiny.CONTEXT, "max_slots": 4, "prefill_chunk": 16, **limits}
    runner, why = choose_runner(model, **sizes)
    assert runner.mode == mode, why
    engine = Engine(runner, TEXT, {tiny.EOS})
    chance = random.Random(3)
    kept, dropped = [], []
    for number in range(12):
        prompt = [chance.randrange(tiny.VOCABULARY) for _ in range(chance.choice([1, 3, 17, 41]))]
        params = SamplingParams(max_tokens=chance.choice([1, 9, 25]), temperature=0)
        sequences = engine.submit([Ask(prompt, params)], lambda event: None)
        (dropped if number % 4 == 3 else kept).extend(sequences)
        for _ in range(chance.choice([0, 1, 4])):
            engine.step()
        engine.cancel(dropped)
    while engine.live:
        engine.step()
    for sequence in kept:
        expected = _generate(reference, sequence.prompt, sequence.params.max_tokens)
        assert sequence.tokens == expected


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),
        ("llama", {}),
        ("llama", {"num_key_value_heads": 4, "head_dim": 16}),
        ("qwen2", {}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("mistral", {"sliding_window": 12}),
        ("gpt_neox", {}),
    ],
)
def test_packed_batches(kind: str, changes: dict[str, Any]) -> None:
    _check(tiny.model(kind, **changes), tiny.model(kind, **changes), "packed")


def test_one_slot_and_single_token_chunks() -> None:
    model, reference = tiny.model("llama"), tiny.model("llama")
    _check(model, reference, "packed", max_slots=1, prefill_chunk=1)


_SMALL = {"vocab_size": tiny.VOCABULARY, "hidden_size": 32, "initializer_range": 0.4}


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(**_SMALL, n_layer=2, n_head=4),
        GPTJConfig(
            vocab_size=tiny.VOCABULARY,
            n_embd=32,
            n_layer=2,
            n_head=4,
            rotary_dim=8,
            n_positions=tiny.CONTEXT,
            initializer_range=0.4,
        ),
        FalconConfig(**_SMALL, num_hidden_layers=2, num_attention_heads=4, alibi=True),
        Gemma2Config(
            **_SMALL,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=12,
            max_position_embeddings=tiny.CONTEXT,
        ),
        MambaConfig(**_SMALL, num_hidden_layers=2, state_size=4),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures_fall_back_to_stepping_alone(config: Any) -> None:
    """Own attention, ALiBi, capped logits, state space: slower, but never wrong."""
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(AutoModelForCausalLM.from_config(config).eval())
    _check(*models, "stepped")


def test_prompts_are_not_cut_where_the_model_cannot_continue_them() -> None:
    """Together they are longer than the context, which bounds a step of a stepped model."""
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(BloomConfig(**_SMALL, n_layer=2, n_head=4)).eval()
    runner, _ = choose_runner(model, context_length=64, max_slots=4, prefill_chunk=8)
    engine = Engine(runner, TEXT, ())
    prompts = [list(range(start, start + 50)) for start in (0, 60, 120, 180)]
    params = SamplingParams(max_tokens=8, temperature=0)
    sequences = engine.submit([Ask(prompt, params) for prompt in prompts], lambda event: None)
    while engine.live:
        engine.step()
    for sequence in sequences:
        assert sequence.tokens == _generate(model, sequence.prompt, 8)


def test_a_runner_that_is_wrong_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe compares numbers: an attention that forgets a mask falls back."""
    from workers.lm.inference import attention

    monkeypatch.setattr(attention, "_visible", lambda mine, seen, window: seen <= mine + 1)
    model = tiny.model("llama")
    runner, why = choose_runner(model, context_length=64, max_slots=2, prefill_chunk=8)
    assert runner.mode == "stepped"
    assert "logits differ" in why
