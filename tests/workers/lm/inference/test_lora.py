"""Adapters beside one base answer as peft's own model does, in whatever mixture they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.workers.lm.inference import lora, tiny
from workers.lm.inference.adapters import AdapterNotLoaded, WantedAdapter
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.engine import Engine
from workers.lm.inference.lora import AdapterBank, AdapterRefused
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams

TEXT = TokenizerText(tiny.tokenizer())
LLAMA: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"r": 8, "use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 5}},
    "few": {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1]},
}
GPT2: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": lora.CONVOLUTIONS, "fan_in_fan_out": True},
    "attention": {"target_modules": ["c_attn"], "fan_in_fan_out": True},
    "wide": {"target_modules": ["c_fc"], "fan_in_fan_out": True, "r": 16},
}


def engine_of(kind: str = "llama", **limits: Any) -> Engine:
    sizes = {"context_length": tiny.CONTEXT, "max_slots": 8, "prefill_chunk": 16, **limits}
    return Engine(PackedRunner(tiny.model(kind), **sizes), TEXT, {tiny.EOS})


def load(engine: Engine, **folders: Path) -> None:
    """Makes the engine have exactly these, at once."""
    wanted = {name: WantedAdapter(1, folder) for name, folder in folders.items()}
    engine.adapters.apply(wanted)
    while engine.adapters.busy:
        engine.step()


def generate(model: Any, prompt: list[int], length: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=length,
        do_sample=False, eos_token_id=tiny.EOS, pad_token_id=tiny.EOS,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


def ask(engine: Engine, prompt: list[int], adapter: str, length: int = 12) -> Any:
    params = SamplingParams(max_tokens=length, temperature=0)
    return engine.submit([Ask(prompt, params, adapter=adapter)], lambda event: None)[0]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    root = tmp_path_factory.mktemp("adapters")
    return {
        kind: {
            name: lora.save(root / kind / name, kind=kind, seed=seed, **options)
            for seed, (name, options) in enumerate(rows.items())
        }
        for kind, rows in (("llama", LLAMA), ("gpt2", GPT2))
    }


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_mixed_batch_is_what_peft_generates(kind: str, saved: dict[str, dict[str, Path]]) -> None:
    engine = engine_of(kind)
    load(engine, **saved[kind])
    running = []
    for number, name in enumerate(["", *saved[kind], "", *saved[kind]]):
        prompt = [(number * 7 + place) % 290 + 5 for place in range(3 + 5 * (number % 4))]
        running.append((name, prompt, ask(engine, prompt, name)))
        engine.step()
    while engine.live:
        engine.step()

    for name, prompt, sequence in running:
        model: Any = tiny.model(kind)
        if name:
            model = PeftModel.from_pretrained(model, str(saved[kind][name])).eval()
        assert sequence.tokens == generate(model, prompt, 12), name


def test_all_rows_of_one_adapter(saved: dict[str, dict[str, Path]]) -> None:
    engine = engine_of()
    load(engine, plain=saved["llama"]["plain"])
    sequences = [ask(engine, [9, 8, 7 + n], "plain") for n in range(3)]
    while engine.live:
        engine.step()

    model = PeftModel.from_pretrained(tiny.model("llama"), str(saved["llama"]["plain"])).eval()
    for number, sequence in enumerate(sequences):
        assert sequence.tokens == generate(model, [9, 8, 7 + number], 12)


def test_an_unloaded_one_finishes_first_and_gives_its_memory_back(
    saved: dict[str, dict[str, Path]],
) -> None:
    engine = engine_of()
    load(engine, plain=saved["llama"]["plain"], few=saved["llama"]["few"])
    bank: AdapterBank = engine.runner.bank
    both = engine.adapters.bytes
    running = ask(engine, [5, 6, 7], "plain", length=30)
    engine.step()

    engine.adapters.apply({"few": WantedAdapter(1, saved["llama"]["few"])})
    for _ in range(5):
        engine.step()

    assert engine.adapters.names == ["few"]
    with pytest.raises(AdapterNotLoaded):
        ask(engine, [5], "plain")
    assert engine.adapters.bytes == both
    while engine.live or engine.adapters.busy:
        engine.step()
    model = PeftModel.from_pretrained(tiny.model("llama"), str(saved["llama"]["plain"])).eval()
    assert running.tokens == generate(model, [5, 6, 7], 30)
    held = sum(s.down.numel() + s.up.numel() for s in bank._stacks.values()) * 4
    assert held == engine.adapters.bytes < both

    load(engine)
    assert (engine.adapters.bytes, bank._stacks, bank._hooks) == (0, {}, {})


def test_another_version_under_the_same_name(saved: dict[str, dict[str, Path]]) -> None:
    engine = engine_of()
    load(engine, x=saved["llama"]["plain"])
    old = ask(engine, [5, 6, 7], "x", length=30)
    engine.step()
    engine.adapters.apply({"x": WantedAdapter(2, saved["llama"]["rslora"])})
    while engine.adapters.state()["loaded"] != {"x": 2}:
        engine.step()
    new = ask(engine, [5, 6, 7], "x", length=30)
    while engine.live or engine.adapters.busy:
        engine.step()

    for sequence, name in ((old, "plain"), (new, "rslora")):
        model = PeftModel.from_pretrained(tiny.model("llama"), str(saved["llama"][name])).eval()
        assert sequence.tokens == generate(model, [5, 6, 7], 30)
    assert engine.adapters.bytes == engine.runner.bank.bytes


def test_one_that_is_wanted_again_before_it_was_gone(saved: dict[str, dict[str, Path]]) -> None:
    engine = engine_of()
    load(engine, x=saved["llama"]["plain"])
    ask(engine, [5, 6, 7], "x", length=8)
    engine.step()
    engine.adapters.apply({})
    engine.step()
    engine.adapters.apply({"x": WantedAdapter(1, saved["llama"]["plain"])})
    while engine.live or engine.adapters.busy:
        engine.step()

    assert engine.adapters.state() == {"loaded": {"x": 1}, "failed": {}}


def test_twenty_on_one_base(saved: dict[str, dict[str, Path]]) -> None:
    engine = engine_of(max_slots=24)
    names = list(saved["llama"])
    twenty = {f"a{n}": saved["llama"][names[n % 4]] for n in range(20)}
    load(engine, **twenty)
    sequences = {name: ask(engine, [4, 5, 6], name) for name in twenty}
    while engine.live:
        engine.step()

    for number, name in enumerate(names):
        same = {tuple(sequences[f"a{n}"].tokens) for n in range(number, 20, 4)}
        model = PeftModel.from_pretrained(tiny.model("llama"), str(saved["llama"][name])).eval()
        assert same == {tuple(generate(model, [4, 5, 6], 12))}


def test_beside_8_bit_weights(tmp_path: Path, saved: dict[str, dict[str, Path]]) -> None:
    from workers.lm.formats.int8 import FILE
    from workers.lm.int8 import load_int8, module_weights, quantise

    model = tiny.model("llama")
    folder = tmp_path / "int8"
    model.save_pretrained(folder)
    kept = dict(load_file(folder / "model.safetensors"))
    for name in module_weights(model):
        if name in kept:
            kept[name], kept[f"{name}.scale"] = quantise(kept[name])
    save_file(kept, folder / FILE)
    runner = PackedRunner(
        load_int8(folder), context_length=tiny.CONTEXT, max_slots=4, prefill_chunk=16
    )
    engine = Engine(runner, TEXT, {tiny.EOS})
    alone = ask(engine, [7, 8, 9], "")
    while engine.live:
        engine.step()
    load(engine, plain=saved["llama"]["plain"], few=saved["llama"]["few"])
    found = {name: ask(engine, [7, 8, 9], name) for name in ("", "plain", "few")}
    while engine.live:
        engine.step()

    assert found[""].tokens == alone.tokens
    assert len({tuple(sequence.tokens) for sequence in found.values()}) == 3


class TestRefusals:
    """What would be served wrongly is not served, and the message says why."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return lora.save(tmp_path / "adapter", target_modules=["q_proj"])

    @pytest.fixture
    def bank(self) -> AdapterBank:
        return AdapterBank(tiny.model("llama"))

    def changed(self, folder: Path, **values: Any) -> Path:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return folder

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"use_dora": True}, "DoRA"),
            ({"bias": "all"}, "biases of the base"),
            ({"modules_to_save": ["lm_head"]}, "whole modules"),
            ({"peft_type": "IA3"}, "Only LoRA"),
            ({"init_lora_weights": "pissa_niter_4"}, "changes the base"),
            ({"auto_mapping": {"x": "y"}}, "code of its own"),
            ({"r": 3}, "says rank 3"),
            ({"rank_pattern": {"q_proj": 9}}, "says rank 9"),
            ({"alpha_pattern": {"(": 9}}, "pattern"),
        ],
    )
    def test_of_settings(
        self, bank: AdapterBank, folder: Path, values: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(AdapterRefused, match=said):
            bank.read(self.changed(folder, **values))

    def test_of_another_base(self, folder: Path) -> None:
        with pytest.raises(AdapterRefused, match="no linear layer inside this base"):
            AdapterBank(tiny.model("gpt2")).read(folder)
        with pytest.raises(AdapterRefused, match="the layer has 64 inputs"):
            AdapterBank(tiny.model("llama", hidden_size=64)).read(folder)

    @pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
    def test_of_what_stands_outside_the_layers(
        self, bank: AdapterBank, tmp_path: Path, target: str
    ) -> None:
        folder = lora.save(tmp_path / "head", target_modules=["q_proj", target])
        with pytest.raises(AdapterRefused):
            bank.read(folder)

    def test_of_numbers_that_are_not_finite(self, bank: AdapterBank, folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        first = next(iter(tensors))
        tensors[first] = tensors[first] * float("nan")
        save_file(tensors, path)
        with pytest.raises(AdapterRefused, match="not finite"):
            bank.read(folder)

    def test_of_damaged_and_missing_files(self, bank: AdapterBank, folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"\x00" * 20)
        with pytest.raises(AdapterRefused, match="damaged"):
            bank.read(folder)
        (folder / "adapter_config.json").unlink()
        with pytest.raises(AdapterRefused, match=r"no adapter_config\.json"):
            bank.read(folder)

    def test_is_told_and_forgotten_once_it_is_wanted_no_more(self, folder: Path) -> None:
        engine = engine_of()
        load(engine, x=self.changed(folder, use_dora=True))
        assert engine.adapters.state()["failed"]["x"][0] == 1
        load(engine)
        assert engine.adapters.state() == {"loaded": {}, "failed": {}}
