"""An answer that is cut after any event and gone on with is the answer that was never cut.

What the gateway keeps of a stream and sends to another replica is the gateway's own code here; the
other replica is the same server, which keeps nothing of requests.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import jsonschema
import pytest

from console.gateway.resuming import Progress
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.test_forms import PERSON

HEADERS = {"Authorization": f"Bearer {SECRET}", "x-slipway-tokens": "1"}
OPTIONS = {"include_usage": True, "continuous_usage_stats": True}
PROMPT = {"prompt": "the quick", "max_tokens": 24, "ignore_eos": True}
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 30}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "greedy": ("completions", {**PROMPT, "temperature": 0}),
    "sampled": ("completions", {**PROMPT, "temperature": 1.3, "top_p": 0.9, "seed": 5}),
    "characters of several tokens": (
        "completions",
        {**PROMPT, "prompt": "你好 世界 é", "seed": 2, "temperature": 1.9, "max_tokens": 60},
    ),
    "penalties": (
        "completions",
        {**PROMPT, "seed": 1, "frequency_penalty": 1.5, "repetition_penalty": 1.4},
    ),
    "stop strings": ("completions", {**PROMPT, "temperature": 0, "stop": ["zzzz", "e e", "oo"]}),
    "log-probabilities": (
        "completions",
        {**PROMPT, "temperature": 0, "logprobs": 2, "echo": True, "stop": ["the the", "oq"]},
    ),
    "several prompts and choices": (
        "completions",
        {**PROMPT, "prompt": ["one", "two"], "n": 2, "seed": 9, "max_tokens": 7},
    ),
    "chat": ("chat/completions", {**CHAT, "seed": 3, "n": 2}),
    "chat with log-probabilities": (
        "chat/completions",
        {**CHAT, "seed": 4, "logprobs": True, "top_logprobs": 2, "temperature": 1.9},
    ),
    "in a form": (
        "chat/completions",
        {
            **CHAT,
            "max_tokens": 90,
            "n": 3,
            "seed": 3,
            "temperature": 1.5,
            "top_p": 0.9,
            "guided_json": PERSON,
        },
    ),
}


def post(server: Served, route: str, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(f"{server.url}/v1/{route}", content=content, headers=HEADERS, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer


def events(answer: httpx.Response) -> list[bytes]:
    return [part + b"\n\n" for part in answer.content.split(b"\n\n")[:-1]]


def bodies(parts: list[bytes]) -> list[dict[str, Any]]:
    lines = b"".join(parts).split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def told(parts: list[bytes]) -> dict[str, Any]:
    """All that a client learns from these events."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for body in bodies(parts):
        usage = body.get("usage") or usage
        for choice in body["choices"]:
            known = choices.setdefault(
                choice["index"], {"text": "", "scores": [], "finish": None, "roles": 0}
            )
            delta = choice.get("delta", {})
            known["text"] += choice.get("text") or delta.get("content") or ""
            known["roles"] += "role" in delta
            known["finish"] = choice["finish_reason"] or known["finish"]
            known["scores"] += _scores(choice.get("logprobs"))
    heads = {(body["id"], body["created"], body["system_fingerprint"]) for body in bodies(parts)}
    return {"choices": choices, "usage": {k: usage[k] for k in _COUNTS}, "heads": heads}


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def _scores(logprobs: dict[str, Any] | None) -> list[Any]:
    """Rounded: a prompt in one piece and a prompt in two give the last bits differently."""
    if logprobs is None:
        return []
    if "content" in logprobs:
        return [(item["token"], round(item["logprob"], 3)) for item in logprobs["content"]]
    rounded = [None if score is None else round(score, 3) for score in logprobs["token_logprobs"]]
    return list(zip(logprobs["tokens"], rounded, logprobs["text_offset"], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_goes_on_from_any_event(server: Served, name: str) -> None:
    route, ask = CASES[name]
    body = {"model": "m", "stream": True, "stream_options": OPTIONS, **ask}
    whole = events(post(server, route, body))
    expected = told(whole)
    cuts = sorted({1, 2, 3, len(whole) // 2, len(whole) - 3, len(whole) - 2, len(whole) - 1})
    for cut in (cut for cut in cuts if 1 <= cut < len(whole)):
        progress = Progress()
        first = [progress.take(part) for part in whole[:cut]]
        for part in first:
            if b'"finish_reason":"' in part:
                progress.ended(part)
        rest = events(post(server, route, progress.body(json.dumps(body).encode())))
        assert rest[-1] == b"data: [DONE]\n\n"
        found = told([*first, *rest])
        assert found["choices"] == expected["choices"], cut
        assert found["usage"] == expected["usage"]
        assert found["heads"] == {next(iter(told(first)["heads"]))}
    if name == "in a form":
        whole_ones = [c for c in expected["choices"].values() if c["finish"] == "stop"]
        assert whole_ones
        for choice in whole_ones:
            jsonschema.validate(json.loads(choice["text"]), PERSON)


@pytest.mark.parametrize("route", ["completions", "chat/completions"])
@pytest.mark.parametrize("length", [2, 9])
def test_scores_of_what_is_held_back_are_told_once_wherever_it_is_cut(
    server: Served, route: str, length: int
) -> None:
    """Much of the text looks like the beginning of a stop string until a later token is there."""
    chat = route.startswith("chat")
    ask = {"messages": CHAT["messages"]} if chat else {"prompt": "the quick", "echo": True}
    scored = {"logprobs": True, "top_logprobs": 1} if chat else {"logprobs": 1}
    body = {"model": "m", "max_tokens": 28, "seed": 6, "temperature": 1.8, **ask, **scored}
    plain = post(server, route, body).json()["choices"][0]
    text = plain["message"]["content"] if chat else plain["text"]
    stops = [text[at : at + length] + "\x01" for at in range(12, len(text), length)][:16]
    body = {**body, "stop": stops, "ignore_eos": True, "stream": True, "stream_options": OPTIONS}
    whole = events(post(server, route, body))
    expected = told(whole)
    assert len(whole) < 28 and len(expected["choices"][0]["scores"]) >= 28
    for cut in range(1, len(whole) - 1):
        progress = Progress()
        first = [progress.take(part) for part in whole[:cut]]
        for part in first:
            if b'"finish_reason":"' in part:
                progress.ended(part)
        rest = events(post(server, route, progress.body(json.dumps(body).encode())))
        assert told([*first, *rest])["choices"] == expected["choices"], cut


def test_it_can_be_cut_again_and_again(server: Served) -> None:
    route, ask = CASES["chat"]
    body = {"model": "m", "stream": True, "stream_options": OPTIONS, **ask}
    expected = told(events(post(server, route, body)))
    progress, seen, asked = Progress(), [], json.dumps(body).encode()
    while not seen or seen[-1] != b"data: [DONE]\n\n":
        for part in events(post(server, route, asked))[:4]:
            seen.append(progress.take(part))
            if b'"finish_reason":"' in seen[-1]:
                progress.ended(seen[-1])
        asked = progress.body(json.dumps(body).encode())
    assert told(seen)["choices"] == expected["choices"]


def test_a_stream_without_the_header_has_no_comments(server: Served) -> None:
    answer = httpx.post(
        f"{server.url}/v1/completions",
        json={"model": "m", "stream": True, **PROMPT},
        headers={"Authorization": HEADERS["Authorization"]},
    )
    assert all(part.startswith(b"data: ") for part in events(answer))


def test_the_way_to_the_first_token_is_told_in_headers(server: Served) -> None:
    for stream in (True, False):
        answer = post(server, "completions", {"model": "m", "stream": stream, **PROMPT})
        for name in ("x-slipway-queue-ms", "x-slipway-prefill-ms", "x-slipway-cached-tokens"):
            assert float(answer.headers[name]) >= 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-slipway-priority": "urgent"}, 400),
        ({"x-slipway-deadline-ms": "soon"}, 400),
        ({"x-slipway-tenant": "t" * 300}, 400),
        ({"x-slipway-priority": "high", "x-slipway-deadline-ms": "60000"}, 200),
    ],
)
def test_what_the_gateway_says_is_checked(
    server: Served, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(
        f"{server.url}/v1/completions",
        json={"model": "m", **PROMPT},
        headers={**HEADERS, **headers},
    )
    assert answer.status_code == status
