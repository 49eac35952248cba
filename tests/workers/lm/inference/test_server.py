"""The server as stock clients see it: answers, streams, logprobs, usage."""

from __future__ import annotations

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until

CHAT = [{"role": "user", "content": "hello there"}]
AUTH = {"Authorization": f"Bearer {SECRET}"}


def test_chat_answers_with_usage_and_echoes_the_model(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="team/route",
        messages=CHAT,
        max_tokens=12,
        temperature=0,
        extra_body={"ignore_eos": True},
    )
    prompt = tiny.tokenizer().encode("user: hello there\nassistant:")
    assert answer.model == "team/route"
    assert answer.system_fingerprint == "fp-abc"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == len(prompt) + 12


@pytest.mark.parametrize("seed", range(6))
def test_streamed_deltas_make_the_whole_text(client: OpenAI, seed: int) -> None:
    ask = {
        "model": "m",
        "messages": CHAT,
        "max_tokens": 60,
        "temperature": 1.5,
        "seed": seed,
        "n": 2,
    }
    whole = client.chat.completions.create(**ask)
    texts, finishes, usage = ["", ""], {}, None
    stream = client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finishes[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert finishes == {c.index: c.finish_reason for c in whole.choices}
    assert usage == whole.usage
    assert texts[0] != texts[1]


def test_running_usage_lets_a_reader_stop_anywhere(client: OpenAI) -> None:
    stream = client.completions.create(
        model="m",
        prompt=[5, 6, 7],
        max_tokens=9,
        stream=True,
        extra_body={"ignore_eos": True, "stream_options": {"continuous_usage_stats": True}},
    )
    usages = [chunk.usage for chunk in stream]
    assert all(usage.prompt_tokens == 3 for usage in usages)
    counts = [usage.completion_tokens for usage in usages]
    assert counts == sorted(counts)
    assert counts[-1] == 9


def test_chat_logprobs_belong_to_the_tokens(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="m",
        messages=CHAT,
        max_tokens=8,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
        extra_body={"ignore_eos": True},
    )
    content = answer.choices[0].logprobs.content
    assert len(content) == 8
    raw = b"".join(bytes(token.bytes) for token in content)
    assert raw.decode("utf-8", "replace") == answer.choices[0].message.content
    for token in content:
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3


def test_completion_echo_scores_the_prompt_like_the_model(client: OpenAI) -> None:
    import torch

    ids = [20, 90, 45, 130, 7]
    answer = client.completions.create(
        model="m", prompt=ids, max_tokens=0, echo=True, logprobs=1, temperature=0
    )
    with torch.no_grad():
        logs = tiny.model("llama")(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    scores = answer.choices[0].logprobs.token_logprobs
    assert scores[0] is None
    assert scores[1:] == pytest.approx([float(logs[i, t]) for i, t in enumerate(ids[1:])], abs=1e-4)
    assert answer.choices[0].text == tiny.tokenizer().decode(ids)
    assert answer.usage.completion_tokens == 0
    assert answer.choices[0].finish_reason == "length"


def test_several_prompts_get_choices_in_order(client: OpenAI) -> None:
    answer = client.completions.create(
        model="m", prompt=["one", "two", "three"], n=2, temperature=0, max_tokens=5
    )
    assert [choice.index for choice in answer.choices] == list(range(6))
    for first, second in zip(answer.choices[::2], answer.choices[1::2], strict=True):
        assert first.text == second.text


def test_a_stop_string_ends_the_text_before_it(client: OpenAI) -> None:
    ask = {"model": "m", "prompt": "the quick", "max_tokens": 40, "temperature": 0}
    whole = client.completions.create(**ask, extra_body={"ignore_eos": True}).choices[0].text
    stop = whole[9:13]
    at = whole.index(stop)
    for stream in (False, True):
        answer = client.completions.create(
            **ask, stop=[stop], stream=stream, extra_body={"ignore_eos": True}
        )
        if stream:
            chunks = [chunk.choices[0] for chunk in answer]
            text, finish = "".join(c.text for c in chunks), chunks[-1].finish_reason
        else:
            text, finish = answer.choices[0].text, answer.choices[0].finish_reason
        assert text == whole[:at]
        assert finish == "stop"


def test_the_same_seed_gives_the_same_text_in_any_company(client: OpenAI, server: Served) -> None:
    ask = {"model": "m", "prompt": "stop words", "max_tokens": 30, "temperature": 1, "seed": 77}
    alone = client.completions.create(**ask).choices[0].text
    crowd = client.completions.create(
        model="m", prompt=["a", "bb b", "ccc c c"], max_tokens=60, temperature=1, stream=True
    )
    together = client.completions.create(**ask).choices[0].text
    crowd.close()
    assert together == alone


def test_models_and_health(client: OpenAI, server: Served) -> None:
    assert [model.id for model in client.models.list()] == ["acme/tiny"]
    health = httpx.get(f"{server.url}/health", headers=AUTH).json()
    assert health["state"] == "ready"
    assert health["mode"] == "packed"
    assert health["context_length"] == tiny.CONTEXT
    assert health["slots"] == 4


def test_request_ids_pass_through(server: Served) -> None:
    response = httpx.get(f"{server.url}/health", headers={**AUTH, "x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    odd = httpx.get(f"{server.url}/health", headers={**AUTH, "x-request-id": "a b"})
    assert odd.headers["x-request-id"].startswith("req-")


def test_hanging_up_frees_the_slot_and_counts_exactly(server: Served) -> None:
    with server.client() as client:
        stream = client.completions.create(
            model="m",
            prompt=[5, 6, 7],
            max_tokens=120,
            temperature=1,
            stream=True,
            extra_body={"ignore_eos": True},
            extra_headers={"x-request-id": "hang-up"},
        )
        next(iter(stream))
        stream.close()
    wait_until(lambda: any(end.request_id == "hang-up" for end in server.ends))
    end = next(end for end in server.ends if end.request_id == "hang-up")
    health = httpx.get(f"{server.url}/health", headers=AUTH).json()
    assert health["running"] == health["waiting"] == 0
    assert end.prompt_tokens == 3
    if end.outcome == "cancelled":  # a fast machine may have finished before it noticed
        assert 1 <= end.completion_tokens < 120
        assert end.status == 499


def test_kept_prefixes_and_guesses_are_on_the_health_page(server: Served) -> None:
    ask = {
        "model": "m",
        "prompt": [7, 8, 9] * 30,
        "max_tokens": 30,
        "temperature": 0,
        "logit_bias": {"7": 100},
    }

    def health() -> dict[str, object]:
        return httpx.get(f"{server.url}/health", headers=AUTH).json()

    answers, before = [], health()
    for _ in range(2):
        answer = httpx.post(f"{server.url}/v1/completions", json=ask, headers=AUTH).json()
        answers.append(answer["choices"][0]["text"])
    after = health()
    assert answers[0] == answers[1]
    assert after["prefix_hit_tokens"] == before["prefix_hit_tokens"] + 64
    assert 0 < after["cache_blocks_free"] < after["cache_blocks_total"]
    assert after["drafted_tokens"] >= after["accepted_tokens"] > 0
    assert after["waiting_by_tenant"] == {}
