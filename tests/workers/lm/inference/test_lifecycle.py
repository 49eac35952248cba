"""Loading, readiness, overload, failure, drain and the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference.errors import ModelRefused
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.server import EngineBroken, ServeOptions, serve

AUTH = {"Authorization": f"Bearer {SECRET}"}
LONG = {"model": "m", "prompt": [5, 6], "max_tokens": 120, "ignore_eos": True}

Serving = Callable[[ServeOptions], Served]


def _options(directory: Path, **changes: Any) -> ServeOptions:
    return ServeOptions(model_dir=directory, name="m", secret=SECRET, **changes)


def _refused(directory: Path, **changes: Any) -> str:
    with pytest.raises(ModelRefused) as refused:
        serve(_options(directory, **changes), lambda h, p: None, lambda: False, lambda line: None)
    return str(refused.value)


def _rewrite(directory: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    path = directory / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})
    return directory


def _edit_config(directory: Path, **changes: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return directory


class TestRefusedDirectories:
    def test_missing_weights(self, tmp_path: Path) -> None:
        name = "model.layers.1.mlp.up_proj.weight"
        tiny.save(tmp_path)
        assert name in _refused(_rewrite(tmp_path, lambda weights: weights.pop(name)))

    def test_unexpected_weights(self, tmp_path: Path) -> None:
        tiny.save(tmp_path)
        extra = {"model.layers.1.evil.weight": torch.ones(2)}
        assert "evil" in _refused(_rewrite(tmp_path, lambda weights: weights.update(extra)))

    def test_another_shape(self, tmp_path: Path) -> None:
        tiny.save(tmp_path)
        _refused(_edit_config(tmp_path, intermediate_size=64))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_not_finite(self, tmp_path: Path, value: float) -> None:
        tiny.save(tmp_path)

        def spoil(weights: dict[str, torch.Tensor]) -> None:
            weights["model.norm.weight"][3] = value

        assert "not finite" in _refused(_rewrite(tmp_path, spoil))

    def test_code_in_the_configuration(self, tmp_path: Path) -> None:
        tiny.save(tmp_path)
        (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
        changed = _edit_config(tmp_path, auto_map={"AutoModelForCausalLM": "evil.Model"})
        assert "auto_map" in _refused(changed)

    def test_pickled_weights_only(self, tmp_path: Path) -> None:
        tiny.save(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        torch.save(weights, tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
        assert "safetensors" in _refused(tmp_path)

    def test_links_out_of_the_directory(self, tmp_path: Path) -> None:
        inside = tmp_path / "model"
        tiny.save(inside)
        (inside / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
        (inside / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
        assert "symbolic link" in _refused(inside)

    def test_an_index_that_leaves_the_directory(self, tmp_path: Path) -> None:
        tiny.save(tmp_path)
        index = {"weight_map": {"model.norm.weight": "../other/model.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        assert "outside" in _refused(tmp_path)

    def test_a_tokenizer_that_is_too_large_for_the_model(self, tmp_path: Path) -> None:
        tiny.save(tmp_path, vocab_size=200)
        assert "do not belong together" in _refused(tmp_path)

    def test_a_cache_larger_than_the_machine(self, tmp_path: Path) -> None:
        tiny.save(tmp_path, max_position_embeddings=2**24)
        assert "fewer slots" in _refused(tmp_path, max_slots=500)

    def test_no_directory_and_no_secret(self, tmp_path: Path, llama_dir: Path) -> None:
        assert "does not exist" in _refused(tmp_path / "nothing")
        options = ServeOptions(model_dir=llama_dir, name="m", secret="")
        with pytest.raises(ModelRefused):
            serve(options, lambda h, p: None, lambda: False, lambda line: None)


def test_overload_is_answered_with_429(
    serving: Serving, llama_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serving(_options(llama_dir, max_slots=1, max_waiting=1))
    real, go_on = PackedRunner.forward, threading.Event()

    def forward(self: PackedRunner, plan: Any) -> torch.Tensor:
        go_on.wait(timeout=WAIT_S)
        return real(self, plan)

    monkeypatch.setattr(PackedRunner, "forward", forward)
    url, answers = f"{served.url}/v1/completions", []
    held = threading.Thread(
        target=lambda: answers.append(httpx.post(url, json={**LONG, "n": 2}, headers=AUTH))
    )
    held.start()
    wait_until(lambda: httpx.get(f"{served.url}/health", headers=AUTH).json()["waiting"] == 1)
    refused = httpx.post(url, json=LONG, headers=AUTH)
    go_on.set()
    held.join(timeout=20)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-should-retry"] == "true"
    assert refused.json()["error"]["code"] == "queue_full"
    assert answers[0].json()["usage"]["completion_tokens"] == 240
    assert httpx.post(url, json=LONG, headers=AUTH).status_code == 200


def test_drain_refuses_the_new_and_serving_ends_when_told(
    serving: Serving, llama_dir: Path
) -> None:
    served = serving(_options(llama_dir))
    with served.client() as client:
        stream = client.completions.create(
            model="m", prompt=[5], max_tokens=120, stream=True, extra_body={"ignore_eos": True}
        )
        parts = iter(stream)
        next(parts)
        drained = httpx.post(f"{served.url}/drain", headers=AUTH)
        assert drained.status_code == 202
        assert drained.json()["state"] == "draining"
        with pytest.raises(openai.InternalServerError) as refused:
            client.completions.create(model="m", prompt="x", max_tokens=1)
        assert refused.value.status_code == 503
        served.stop.set()
        last = list(parts)[-1]
        assert last.choices[0].finish_reason == "length"
    served.thread.join(timeout=10)
    assert not served.thread.is_alive()
    assert served.error is None
    assert [end.outcome for end in served.ends] == ["completed", "refused"] or [
        end.outcome for end in served.ends
    ] == ["refused", "completed"]


@pytest.mark.parametrize("hurried", [False, True])
def test_the_last_answer_is_waited_for_unless_it_has_to_hurry(
    serving: Serving, llama_dir: Path, monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    """A replica that leaves ends with its last stream; one whose node stops has less time."""
    served = serving(_options(llama_dir, drain_seconds=600.0, hurry_seconds=0.05))
    real, held = PackedRunner.forward, threading.Event()

    def forward(self: PackedRunner, plan: Any) -> torch.Tensor:
        if held.is_set():
            time.sleep(0.02)
        return real(self, plan)

    monkeypatch.setattr(PackedRunner, "forward", forward)
    with served.client() as client:
        stream = client.completions.create(
            model="m", prompt=[5], max_tokens=100, stream=True, extra_body={"ignore_eos": True}
        )
        parts = iter(stream)
        held.set()
        next(parts)
        served.stop.set()
        if hurried:
            served.hurry.set()
            with pytest.raises(openai.APIError):
                list(parts)
        else:
            assert list(parts)[-1].choices[0].finish_reason == "length"
    served.thread.join(timeout=10)
    assert not served.thread.is_alive()
    assert served.error is None


def test_a_failure_in_midstream_is_told_in_the_stream(
    serving: Serving, llama_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serving(_options(llama_dir))
    real, failing = PackedRunner.forward, threading.Event()

    def forward(self: PackedRunner, plan: Any) -> torch.Tensor:
        if failing.is_set() and plan.decode:
            failing.clear()
            raise RuntimeError("a kernel failed")
        return real(self, plan)

    monkeypatch.setattr(PackedRunner, "forward", forward)
    with served.client() as client:
        stream = client.completions.create(
            model="m", prompt=[5], max_tokens=120, stream=True, extra_body={"ignore_eos": True}
        )
        parts = iter(stream)
        next(parts)
        failing.set()
        with pytest.raises(openai.APIError) as failed:
            list(parts)
        assert "failed while computing" in failed.value.message
        again = client.completions.create(model="m", prompt=[5], max_tokens=2)
        assert again.usage.completion_tokens >= 1
    assert served.ends[0].outcome == "failed"
    assert served.ends[0].completion_tokens >= 1


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("gpt2", {}), ("llama", {"tie_word_embeddings": True}), ("gpt_neox", {}), ("mistral", {})],
)
def test_saved_models_of_several_architectures_are_served(
    serving: Serving, tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    served = serving(_options(tiny.save(tmp_path, kind, **changes)))
    health = httpx.get(f"{served.url}/health", headers=AUTH).json()
    assert (health["architecture"], health["mode"]) == (kind, "packed")
    answer = httpx.post(f"{served.url}/v1/completions", json=LONG, headers=AUTH)
    assert answer.json()["usage"]["completion_tokens"] == 120


def test_a_broken_model_ends_the_server(
    serving: Serving, llama_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serving(_options(llama_dir))

    def forward(self: PackedRunner, plan: Any) -> torch.Tensor:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(PackedRunner, "forward", forward)
    answer = httpx.post(f"{served.url}/v1/completions", json=LONG, headers=AUTH)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "generation_failed"
    served.thread.join(timeout=10)
    assert isinstance(served.error, EngineBroken)


def test_a_chat_template_of_the_model_is_used_and_may_refuse(
    serving: Serving, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    )
    tiny.save(tmp_path, chat_template=template)
    served = serving(_options(tmp_path))
    with served.client() as client:
        answer = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=1
        )
        assert answer.usage.prompt_tokens == len(
            tiny.tokenizer().encode("<user>hi<assistant>", add_special_tokens=False)
        )
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(
                model="m", messages=[{"role": "system", "content": "hi"}], max_tokens=1
            )
        assert "no system" in refused.value.message


def test_bfloat16_weights_are_served(serving: Serving, llama_dir: Path) -> None:
    served = serving(_options(llama_dir, dtype="bf16"))
    health = httpx.get(f"{served.url}/health", headers=AUTH).json()
    assert (health["dtype"], health["mode"]) == ("bf16", "packed")
    answer = httpx.post(f"{served.url}/v1/completions", json=LONG, headers=AUTH)
    assert answer.json()["usage"]["completion_tokens"] == 120


def test_the_command_line_serves_until_sigterm(tmp_path: Path, llama_dir: Path) -> None:
    secret, ready = tmp_path / "secret", tmp_path / "ready.json"
    secret.write_text(f"{SECRET}\n")
    command = [
        sys.executable,
        "-m",
        "workers.lm.inference.server",
        "--model-dir",
        str(llama_dir),
        "--name",
        "m",
        "--secret-file",
        str(secret),
        "--ready-file",
        str(ready),
        "--dtype",
        "fp32",
        "--threads",
        "1",
        "--max-slots",
        "2",
        "--max-context",
        "64",
        "--fingerprint",
        "f",
    ]
    root = Path(__file__).resolve().parents[4]
    with subprocess.Popen(
        command,
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None)
            where = json.loads(ready.read_text())
            url = f"http://{where['host']}:{where['port']}"
            answer = httpx.post(
                f"{url}/v1/completions", json={**LONG, "max_tokens": 5}, headers=AUTH
            )
            assert answer.json()["usage"]["completion_tokens"] == 5
            assert httpx.get(f"{url}/health", headers=AUTH).json()["context_length"] == 64
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    ends = [line for line in errors.splitlines() if line.startswith("request ")]
    assert json.loads(ends[0].removeprefix("request "))["completion_tokens"] == 5
    assert SECRET not in errors
