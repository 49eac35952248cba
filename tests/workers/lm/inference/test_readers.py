"""Readers that do not read, and callers that vanish: no slot stays taken, no memory grows."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx2 as httpx
import pytest

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, Served
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference import http as replica_http
from workers.lm.inference.server import ServeOptions

AUTH = {"Authorization": f"Bearer {SECRET}"}


def live(server: Served) -> int:
    health = httpx.get(f"{server.url}/health", headers=AUTH).json()
    return health["running"] + health["waiting"]


def ask(server: Served, body: dict[str, Any], **options: int) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.socket()
    for name, value in options.items():
        connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    connection.connect((host, int(port)))
    raw = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\n"
    connection.sendall(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
    return connection


def test_a_reader_that_takes_nothing_is_given_up(
    serving, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_http, "READ_SECONDS", 0.3)
    server = serving(
        ServeOptions(
            model_dir=tiny.save(tmp_path / "long", max_position_embeddings=2048),
            name="m",
            secret=SECRET,
            max_slots=16,
        )
    )
    # Far more than the buffers of the system between the two hold.
    body = {"model": "m", "prompt": "a", "n": 16, "max_tokens": 2000, "logprobs": 20}
    with ask(server, {**body, "stream": True, "ignore_eos": True}, SO_RCVBUF=4096):
        wait_until(lambda: any(end.outcome == "cancelled" for end in server.ends))
    wait_until(lambda: live(server) == 0)
    assert server.ends[-1].completion_tokens < 16 * 2000


@pytest.mark.parametrize("stream", [True, False])
def test_callers_that_vanish_leave_no_slot(server: Served, stream: bool) -> None:
    body = {"model": "m", "prompt": "the", "max_tokens": 120, "n": 4, "ignore_eos": True}
    for _ in range(4):
        ask(server, {**body, "stream": stream}).close()
    wait_until(lambda: live(server) == 0)


def test_a_late_request_is_never_computed(serving, llama_dir) -> None:
    server = serving(ServeOptions(model_dir=llama_dir, name="m", secret=SECRET))
    answer = httpx.post(
        f"{server.url}/v1/completions",
        json={"model": "m", "prompt": "the", "max_tokens": 5},
        headers={**AUTH, "x-slipway-deadline-ms": "0"},
    )
    assert answer.status_code in (408, 503, 504)
    assert answer.json()["error"]["code"]
    assert live(server) == 0


def test_all_roles_are_read(server: Served) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "system",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "user", "content": "hi", "name": "ana"},
        {"role": "assistant", "content": "hello", "refusal": None, "annotations": []},
        {"role": "tool", "content": "42", "tool_call_id": "call-1"},
    ]
    body = {"model": "m", "messages": messages, "max_tokens": 2, "tools": [{}]}
    body |= {"tool_choice": "none", "user": "u", "metadata": {"a": "b"}, "store": True}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=AUTH)
    assert answer.status_code == 200
    del messages[-1]["tool_call_id"]
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=AUTH)
    assert answer.json()["error"]["param"] == "messages[4].tool_call_id"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800", "prompt": "a", "max_tokens": 1}',
        b'{"model": "m", "prompt": "a", "\\ud800": 1}',
        b'{"model": "m", "model": "m", "prompt": "a"}',
        b'{"model": "m", "prompt": "\xff"}',
        b'{"model": "m", "prompt": "a", "temperature": NaN}',
    ],
)
def test_text_that_is_none_breaks_nothing(server: Served, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/v1/completions", content=body, headers=AUTH)
    assert answer.status_code in (200, 400)
    assert answer.json()


def test_what_was_said_becomes_less_likely(server: Served) -> None:
    ask = {"model": "m", "prompt": "the the the", "max_tokens": 40, "temperature": 0}
    ask["ignore_eos"] = True

    def different(**more: float) -> int:
        answer = httpx.post(f"{server.url}/v1/completions", json={**ask, **more}, headers=AUTH)
        return len(set(tiny.tokenizer().encode(answer.json()["choices"][0]["text"])))

    assert different(repetition_penalty=3.0) > different()
