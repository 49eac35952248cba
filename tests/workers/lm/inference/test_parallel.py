"""A model in two processes answers as in one, and none of them is left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.waiting import WAIT_S
from tests.workers.lm.inference import lora, tiny
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference.adapters import AdapterNotLoaded, WantedAdapter
from workers.lm.inference.ask import Ask
from workers.lm.inference.engine import Engine
from workers.lm.inference.errors import ModelRefused
from workers.lm.inference.linears import ServingLinear
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.parts import PartReader
from workers.lm.inference.preparing import prepare
from workers.lm.inference.server import EngineBroken, ServeOptions, serve

Prepare = Callable[..., Engine]


def options_of(folder: Path, **changes: Any) -> ServeOptions:
    wanted = {"max_slots": 4, "prefill_chunk": 16, "tensor_parallel": 2, **changes}
    return ServeOptions(model_dir=folder, name="m", secret="s", **wanted)


def children() -> list[psutil.Process]:
    return [
        child for child in psutil.Process().children() if "inference.rank" in str(child.cmdline())
    ]


def generate(model: Any, prompt: list[int], length: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=length,
        do_sample=False, eos_token_id=tiny.EOS, pad_token_id=tiny.EOS,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


def answers(engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
    params = SamplingParams(max_tokens=12, temperature=0)
    found = []
    for prompt in prompts:
        found += engine.submit([Ask(prompt, params)], lambda event: None)
        engine.step()
    while engine.live:
        engine.step()
    return [sequence.tokens for sequence in found]


@pytest.fixture
def prepared() -> Iterator[Prepare]:
    made: list[Engine] = []

    def begin(folder: Path, **changes: Any) -> Engine:
        engine: Any = prepare(options_of(folder, **changes), lambda line: None).engine
        made.append(engine)
        return engine

    yield begin
    for engine in made:
        engine.close()
    assert not children()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("llama", {"vocab_size": 301, "tie_word_embeddings": True}), ("gpt2", {})],
)
def test_answers_are_those_of_one_process(
    prepared: Prepare, tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    folder = tiny.save(tmp_path / kind, kind, **changes)
    engine = prepared(folder)
    assert engine.mode == "packed"
    assert len(children()) == 1

    shared = [7 + n for n in range(40)]
    prompts = [[5, 6, 7], shared, [9] * 20, [*shared, 3], [11], [*shared, 4]]
    found = answers(engine, prompts)

    reference = AutoModelForCausalLM.from_pretrained(folder)
    for prompt, tokens in zip(prompts, found, strict=True):
        assert tokens == generate(reference, prompt, 12)
    again = answers(engine, [prompts[3]])
    assert again == [found[3]]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_adapters_beside_it_answer_as_in_one_process(
    prepared: Prepare, tmp_path: Path, kind: str
) -> None:
    """In steps with one adapter, with two, with more, and with none; loaded while it answers."""
    chosen = {"target_modules": lora.CONVOLUTIONS, "fan_in_fan_out": True} if kind == "gpt2" else {}
    names = ["a", "b", "c"]
    folders = {
        name: lora.save(tmp_path / name, kind=kind, seed=seed, r=2 + seed, **chosen)
        for seed, name in enumerate(names)
    }
    base = tiny.save(tmp_path / "base", kind)
    prompt = [5, 6, 7, 8]

    def said(engine: Engine) -> list[list[list[int]]]:
        params = SamplingParams(max_tokens=10, temperature=0)
        early = engine.submit([Ask([9], params)], lambda event: None)[0]
        engine.step()
        engine.adapters.apply({name: WantedAdapter(1, folders[name]) for name in names})
        while engine.live or engine.adapters.busy:
            engine.step()
        rounds = [[early.tokens]]
        for wanted in (["a"], ["a", "b"], ["", "c", "b", "a", "b"], [""]):
            asked = [
                engine.submit([Ask(prompt, params, adapter=name)], lambda event: None)[0]
                for name in wanted
            ]
            while engine.live:
                engine.step()
            rounds.append([one.tokens for one in asked])
        engine.adapters.apply({"c": WantedAdapter(1, folders["c"])})
        while engine.adapters.busy:
            engine.step()
        left = engine.submit([Ask(prompt, params, adapter="c")], lambda event: None)[0]
        with pytest.raises(AdapterNotLoaded):
            engine.submit([Ask(prompt, params, adapter="a")], lambda event: None)
        while engine.live:
            engine.step()
        return [*rounds, [left.tokens]]

    expected = said(prepared(base, tensor_parallel=1))
    found = said(prepared(base))

    assert found == expected
    assert len({tuple(tokens) for tokens in expected[3]}) == 4
    assert found[-1] == [found[3][1]]


def test_a_part_has_half_of_the_weights(prepared: Prepare, llama_dir: Path) -> None:
    engine: Any = prepared(llama_dir)
    model = engine.runner.part.loaded.model
    fused = [
        getattr(getattr(module, "_shared", None), "_fused", module) for module in model.modules()
    ]
    packed = {id(row): row.weight.numel() for row in fused if isinstance(row, ServingLinear)}
    held = sum(parameter.numel() for parameter in model.parameters()) + sum(packed.values())
    whole = PartReader(llama_dir).total
    norms = sum(p.numel() for name, p in model.named_parameters() if "norm" in name)
    assert held - norms == (whole - norms) // 2
    keys = next(iter(engine.runner.cache.keys.values()))
    assert keys.shape[2] == 1  # one of two key-value heads


def test_a_process_that_dies_ends_the_replica_with_its_name(llama_dir: Path) -> None:
    ready: list[int] = []

    def kill(host: str, port: int) -> None:
        (child,) = children()
        ready.append(port)
        os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(EngineBroken, match=r"Part 2 of 2 has ended \(SIGKILL\)"):
        serve(options_of(llama_dir), kill, lambda: False, lambda line: None)

    assert ready
    wait_until(lambda: not children())


def test_a_polite_stop_ends_all(llama_dir: Path) -> None:
    ready: list[int] = []
    serve(
        options_of(llama_dir),
        lambda host, port: ready.append(port),
        lambda: bool(ready),
        lambda line: None,
    )
    assert ready
    assert not children()


class TestRefusals:
    def test_of_heads_that_do_not_divide(self, llama_dir: Path) -> None:
        with pytest.raises(ModelRefused, match="2 key-value heads"):
            prepare(options_of(llama_dir, tensor_parallel=4), lambda line: None)
        assert not children()

    def test_of_a_family_without_a_plan(self, tmp_path: Path) -> None:
        folder = tiny.save(tmp_path / "neox", "gpt_neox")
        with pytest.raises(ModelRefused, match="gpt_neox"):
            prepare(options_of(folder), lambda line: None)
        assert not children()


def test_pieces_of_a_file_are_those_of_the_whole(llama_dir: Path) -> None:
    from safetensors.torch import load_file

    reader = PartReader(llama_dir)
    whole = load_file(llama_dir / "model.safetensors")
    for name, tensor in whole.items():
        assert torch.equal(reader.read(name), tensor)
        if tensor.dim() == 2:
            assert torch.equal(reader.read(name, 1, [(2, 5), (9, 11)]), tensor[:, [2, 3, 4, 9, 10]])
            assert torch.equal(reader.read(name, 0, [(1, 4)]), tensor[1:4])


def _peak(pid: int) -> int:
    """Most address space that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak"))


class _Command:
    """A server by the command line, with so much address space for each of its processes."""

    def __init__(self, folder: Path, place: Path, ranks: int, limit: int = 0) -> None:
        secret, self.ready = place / "secret", place / f"ready-{ranks}-{limit}"
        secret.write_text("s")

        def capped() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.lm.inference.server", "--model-dir", str(folder),
             "--name", "m", "--secret-file", str(secret), "--ready-file", str(self.ready),
             "--max-slots", "1", "--tensor-parallel", str(ranks)],
            preexec_fn=capped,
            env={**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: self.ready.exists() or self.process.poll() is not None)

    def text(self) -> str:
        port = json.loads(self.ready.read_text())["port"]
        body = {"model": "m", "prompt": [5, 6, 7, 8], "max_tokens": 16, "temperature": 0}
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/completions", json=body, timeout=WAIT_S,
            headers={"Authorization": "Bearer s"},
        )  # fmt: skip
        return answer.json()["choices"][0]["text"]

    def pids(self) -> list[int]:
        ranks = [
            child.pid
            for child in psutil.Process(self.process.pid).children()
            if "inference.rank" in str(child.cmdline())
        ]
        return [self.process.pid, *ranks]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT_S)


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("CHAOS") != "full", reason="models that fill the memory: run `make proofs`"
)
def test_two_processes_serve_what_neither_has_the_memory_for(tmp_path: Path) -> None:
    folder = tiny.save(
        tmp_path / "large", hidden_size=512, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=8, num_key_value_heads=4,
    )  # fmt: skip
    weights = (folder / "model.safetensors").stat().st_size
    alone = _Command(folder, tmp_path, 1)
    text, needed = alone.text(), _peak(alone.process.pid)
    alone.stop()
    # Laying weights out anew for the processor takes as much again for a while.
    limit = needed - weights

    both = _Command(folder, tmp_path, 2, limit)
    assert both.text() == text
    pids = both.pids()
    assert len(pids) == 2
    assert all(_peak(pid) <= limit for pid in pids)
    assert both.stop() == 0
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))

    starved = _Command(folder, tmp_path, 1, limit)
    assert starved.process.wait(WAIT_S) == 2
