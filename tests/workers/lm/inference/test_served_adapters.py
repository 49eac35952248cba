"""A model server whose adapters come and go by the file that says which are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from tokenizers import Tokenizer

from tests.workers.lm.inference import lora, tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference.errors import ModelRefused
from workers.lm.inference.server import ServeOptions

TEMPLATE = (
    "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}={% endif %}"
)
Serving = Callable[[ServeOptions], Served]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with the tokenizer of its base and a chat template of its own."""
    place = lora.save(tmp_path_factory.mktemp("adapters") / "tuned")
    tiny.tokenizer(TEMPLATE).save_pretrained(place)
    return place


def want(path: Path, fingerprint: str = "fp-1", **folders: Path) -> Path:
    rows = {
        name: {"version": number, "folder": str(folder), "problem": ""}
        for number, (name, folder) in enumerate(folders.items(), 1)
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"fingerprint": fingerprint, "adapters": rows}))
    partial.replace(path)
    return path


def options(model_dir: Path, wanted: Path) -> ServeOptions:
    return ServeOptions(
        model_dir=model_dir, name="m", secret=SECRET, max_slots=4, fingerprint="fp-1",
        wanted=wanted,
    )  # fmt: skip


def call(served: Served, path: str, body: dict[str, Any], adapter: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {SECRET}"}
    if adapter:
        headers["x-slipway-adapter"] = adapter
    return httpx.post(f"{served.url}{path}", json=body, headers=headers, timeout=30)


def health(served: Served) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.get(f"{served.url}/health", headers=headers, timeout=30).json()


BODY = {"model": "m", "prompt": "the quick", "max_tokens": 8, "temperature": 0}


def test_it_is_there_before_the_server_is_ready_and_goes_while_it_serves(
    serving: Serving, llama_dir: Path, folder: Path, tmp_path: Path
) -> None:
    wanted = want(tmp_path / "wanted.json", sql=folder)
    served = serving(options(llama_dir, wanted))

    assert health(served)["adapters"] == ["sql"]
    plain = call(served, "/v1/completions", BODY).json()
    tuned = call(served, "/v1/completions", BODY, "sql").json()
    assert plain["choices"][0]["text"] != tuned["choices"][0]["text"]
    assert plain["system_fingerprint"] == "fp-1"

    want(wanted, "fp-2")
    wait_until(lambda: health(served)["adapter_bytes"] == 0)
    refused = call(served, "/v1/completions", BODY, "sql")
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "adapter_not_loaded"
    after = call(served, "/v1/completions", BODY).json()
    assert after["choices"][0]["text"] == plain["choices"][0]["text"]
    assert after["system_fingerprint"] == "fp-2"


def test_messages_go_through_the_adapters_own_template(
    serving: Serving, llama_dir: Path, folder: Path, tmp_path: Path
) -> None:
    served = serving(options(llama_dir, want(tmp_path / "wanted.json", sql=folder)))
    chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 0}

    plain = call(served, "/v1/chat/completions", {"model": "m", **chat}).json()
    tuned = call(served, "/v1/chat/completions", {"model": "m", **chat}, "sql").json()

    tokens = tiny.tokenizer()
    lines = tokens("user: hello\nassistant:").input_ids
    assert plain["usage"]["prompt_tokens"] == len(lines)
    assert tuned["usage"]["prompt_tokens"] == len(tokens("[hello]=").input_ids)


def test_another_vocabulary_is_refused(serving: Serving, llama_dir: Path, tmp_path: Path) -> None:
    place = lora.save(tmp_path / "other")
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["<sql>"])
    tokenizer.save_pretrained(place)
    assert Tokenizer.from_file(str(place / "tokenizer.json")).token_to_id("<sql>") is not None

    with pytest.raises(ModelRefused, match="other tokens than that of the base"):
        serving(options(llama_dir, want(tmp_path / "wanted.json", sql=place)))


def test_nonsense_in_the_file_changes_nothing(
    serving: Serving, llama_dir: Path, folder: Path, tmp_path: Path
) -> None:
    wanted = want(tmp_path / "wanted.json", sql=folder)
    served = serving(options(llama_dir, wanted))
    wanted.write_text('{"adapters": 7}')
    wait_until(lambda: any("cannot be read" in line for line in served.log))
    assert health(served)["adapters"] == ["sql"]
