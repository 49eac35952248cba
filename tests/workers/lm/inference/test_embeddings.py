"""Embeddings: those of the model itself, however the inputs are batched, beside running answers."""

from __future__ import annotations

import base64
import json
import struct
import threading
from typing import Any

import httpx2 as httpx
import openai
import pytest
import torch
from openai import OpenAI

from tests.workers.lm.families.tiny_ngram import save_tiny_ngram
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference.server import ServeOptions

AUTH = {"Authorization": f"Bearer {SECRET}"}


def expected(ids: list[int], kind: str = "llama") -> list[float]:
    """Mean of the last hidden states, of length one, by the plain model."""
    with torch.no_grad():
        states = tiny.model(kind).base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    mean = states.mean(0)
    return (mean / mean.norm()).tolist()


def test_texts_get_the_models_own_states_in_their_order(client: OpenAI) -> None:
    texts = ["the quick brown fox", "x", "user: hello there, assistant: good day " * 2, "naïve"]
    answer = client.embeddings.create(model="team/route", input=texts)
    ids = [tiny.tokenizer().encode(text) for text in texts]
    assert [item.index for item in answer.data] == [0, 1, 2, 3]
    for item, tokens in zip(answer.data, ids, strict=True):
        assert item.embedding == pytest.approx(expected(tokens), abs=2e-5)
    assert answer.model == "team/route"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(len, ids))


@pytest.mark.parametrize("ids", [[5], [20, 90, 45], list(range(2, 102))])
def test_token_ids_short_and_longer_than_a_chunk(client: OpenAI, ids: list[int]) -> None:
    answer = client.embeddings.create(model="m", input=[ids, ids], encoding_format="float")
    for item in answer.data:
        assert item.embedding == pytest.approx(expected(ids), abs=2e-5)
    one = client.embeddings.create(model="m", input=ids).data
    assert len(one) == 1
    assert one[0].embedding == pytest.approx(expected(ids), abs=2e-5)


def test_fewer_dimensions_are_of_length_one_again(client: OpenAI) -> None:
    short = client.embeddings.create(model="m", input="fox", dimensions=8).data[0].embedding
    whole = client.embeddings.create(model="m", input="fox").data[0].embedding
    head = torch.tensor(whole[:8])
    assert short == pytest.approx((head / head.norm()).tolist(), abs=1e-5)


def test_base64_holds_the_same_numbers(server: Served) -> None:
    raw = {
        form: httpx.post(
            f"{server.url}/v1/embeddings",
            json={"model": "m", "input": "fox", "encoding_format": form},
            headers=AUTH,
        ).json()["data"][0]["embedding"]
        for form in ("float", "base64")
    }
    data = base64.b64decode(raw["base64"])
    assert struct.unpack(f"<{len(data) // 4}f", data) == pytest.approx(raw["float"])


def test_they_do_not_hold_up_nor_change_a_running_answer(server: Served, client: OpenAI) -> None:
    ask: dict[str, Any] = {"model": "m", "prompt": "the quick", "max_tokens": 100}
    ask |= {"temperature": 0, "extra_body": {"ignore_eos": True}}
    alone = client.completions.create(**ask).choices[0].text
    inputs = [list(range(2, 2 + size)) for size in range(20, 100)]
    threads = [
        threading.Thread(target=client.embeddings.create, kwargs={"model": "m", "input": inputs})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert client.completions.create(**ask).choices[0].text == alone
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["a", 5]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [5, 300]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": [5] * (tiny.CONTEXT + 1)}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 33}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"user": 5}, "user"),
    ],
)
def test_what_is_wrong_is_named(server: Served, changes: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "m", "input": "fox", **changes})
    answer = httpx.post(f"{server.url}/v1/embeddings", content=body, headers=AUTH)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_other_architectures_without_the_packed_path(serving, tmp_path) -> None:
    served = serving(
        ServeOptions(model_dir=tiny.save(tmp_path / "g", "gpt2"), name="g", secret=SECRET)
    )
    with served.client() as client:
        data = client.embeddings.create(model="m", input=[[5, 6, 7], [9]]).data
    assert data[0].embedding == pytest.approx(expected([5, 6, 7], "gpt2"), abs=2e-5)


def test_families_without_hidden_states_say_so(serving, tmp_path) -> None:
    served = serving(ServeOptions(model_dir=save_tiny_ngram(tmp_path), name="n", secret=SECRET))
    with served.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="m", input="fox")
        assert caught.value.code == "unsupported_model"
        assert client.completions.create(model="m", prompt="a", max_tokens=2).choices


def test_a_caller_that_leaves_frees_the_engine(server: Served, client: OpenAI) -> None:
    inputs = [list(range(2, 100))] * 400
    with pytest.raises(openai.APITimeoutError):
        client.embeddings.create(model="m", input=inputs, timeout=0.05)
    wait_until(lambda: any(end.outcome == "cancelled" for end in server.ends[-1:]))
    assert client.embeddings.create(model="m", input="fox").data


def test_the_numbers_of_the_replica(server: Served, client: OpenAI) -> None:
    client.completions.create(model="m", prompt="the", max_tokens=3)
    text = httpx.get(f"{server.url}/metrics", headers=AUTH)
    assert text.headers["content-type"].startswith("text/plain")
    values = dict(
        line.rsplit(" ", 1) for line in text.text.splitlines() if not line.startswith("#")
    )
    name = '{model_name="acme/tiny"}'
    assert float(values[f"vllm:num_requests_running{name}"]) == 0
    assert float(values[f"vllm:num_requests_waiting{name}"]) == 0
    assert float(values[f"vllm:generation_tokens_total{name}"]) >= 3
    assert 0 <= float(values[f"vllm:gpu_cache_usage_perc{name}"]) <= 1
    for counter in ("gpu_prefix_cache_hits_total", "gpu_prefix_cache_queries_total"):
        assert float(values[f"vllm:{counter}{name}"]) >= 0
    first = 'vllm:time_to_first_token_seconds_bucket{model_name="acme/tiny",le="+Inf"}'
    assert float(values[first]) >= 1
    assert any(key.startswith("slipway_requests_total") for key in values)
    assert httpx.get(f"{server.url}/metrics").status_code == 401
