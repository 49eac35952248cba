"""Every wrong request gets a 4xx that names the field; none reaches the model."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served

AUTH = {"Authorization": f"Bearer {SECRET}"}
HELLO = [{"role": "user", "content": "hi"}]


def _post(server: Served, route: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return httpx.post(
        f"{server.url}/v1/{route}", content=content, headers={**AUTH, **headers}, timeout=30
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "root", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": ["hi"]}, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages"),
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1_000_000}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 2.0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": -0.1}, "min_p"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "one"}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": 5}, "stop"),
        ({"logit_bias": {"300": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": [{}], "tool_choice": "auto"}, "tools"),
        ({"tools": "all"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{}]}, "functions"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"guided_regex": "["}, "guided_regex"),
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"slipway_resume": {"choices": []}}, "slipway_resume.choices"),
        ({"temprature": 1}, "temprature"),
        ({"metadata": 5}, "metadata"),
        ({"user": 5}, "user"),
    ],
)
def test_chat_fields(server: Served, changes: dict[str, Any], param: str) -> None:
    answer = _post(server, "chat/completions", {"model": "m", "messages": HELLO, **changes})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "prompt",
    [None, 5, [], [[]], ["a", 5], [[1], "a"], [1.5], [True], [-1], [300], [[1], [301]], {}],
)
def test_prompts_that_are_none(server: Served, prompt: Any) -> None:
    answer = _post(server, "completions", {"model": "m", "prompt": prompt, "max_tokens": 1})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"


def test_an_empty_prompt_is_named(server: Served) -> None:
    answer = _post(server, "completions", {"model": "m", "prompt": ""})
    assert answer.json()["error"]["code"] == "empty_prompt"


@pytest.mark.parametrize("length", [tiny.CONTEXT, tiny.CONTEXT + 1, tiny.CONTEXT * 3])
def test_a_prompt_over_the_context_names_both_numbers(server: Served, length: int) -> None:
    body = {"model": "m", "prompt": [5] * length, "max_tokens": 1}
    error = _post(server, "completions", body).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert str(tiny.CONTEXT) in error["message"]
    assert str(length) in error["message"]


def test_prompt_and_answer_may_fill_the_context_exactly(server: Served) -> None:
    body = {"model": "m", "prompt": [5] * 120, "max_tokens": 8, "ignore_eos": True}
    answer = _post(server, "completions", body).json()
    assert answer["usage"]["completion_tokens"] == 8
    body["max_tokens"] = 9
    assert _post(server, "completions", body).status_code == 400


def test_a_huge_text_is_refused_without_tokenizing_it(server: Served) -> None:
    answer = _post(server, "completions", {"model": "m", "prompt": "a " * 2**21})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert answer.elapsed.total_seconds() < 2


@pytest.mark.parametrize(
    "body",
    ["", "{", "[1]", "null", '{"model": NaN}', "[" * 100_000, b"\xff\xfe", '{"a": 1e999}'],
)
def test_malformed_bodies(server: Served, body: Any) -> None:
    assert _post(server, "chat/completions", body).status_code == 400


def test_a_body_over_the_limit(server: Served) -> None:
    answer = _post(server, "completions", b" " * (8 * 2**20 + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Token {SECRET}"},
        {"Authorization": SECRET},
        {"Authorization": f"Bearer {SECRET[:-1]}"},
        [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/drain", "/nowhere"])
def test_no_route_without_the_secret(server: Served, path: str, headers: Any) -> None:
    method = "POST" if path == "/drain" else "GET"
    answer = httpx.request(method, f"{server.url}{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_unknown_routes_and_methods(server: Served) -> None:
    assert httpx.get(f"{server.url}/v1/nothing", headers=AUTH).status_code == 404
    assert httpx.delete(f"{server.url}/v1/models", headers=AUTH).status_code == 405


def test_the_engine_is_unharmed(server: Served) -> None:
    """After all of the above (tests run in order) the same server still answers."""
    answer = _post(server, "chat/completions", {"model": "m", "messages": HELLO, "max_tokens": 3})
    assert answer.status_code == 200
    health = httpx.get(f"{server.url}/health", headers=AUTH).json()
    assert health["failed"] == 0
    assert health["running"] == 0
