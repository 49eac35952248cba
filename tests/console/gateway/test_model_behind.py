"""The whole way: a client, the gateway, and a model that computes. What clients get wrong is told
in OpenAI's words, and neither they nor a replica that stops leave anything behind or missing.
"""

import json
import threading
from types import SimpleNamespace

import httpx2 as httpx
import openai
import pytest

from console.gateway import http as gateway_http
from console.gateway import interrupt, replicas
from tests.console.gateway.test_abuse import raw
from tests.fakes.gateway import eventually, key_of, serve, wait_for_route
from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import SECRET, start
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.server import ServeOptions

MODEL = "research/chat"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
HELLO = [{"role": "user", "content": "hello there"}]
LONG = {"model": MODEL, "prompt": "the", "max_tokens": 110, "temperature": 0}
LONG_TEXT = {**LONG, "extra_body": {"ignore_eos": True}}


def begin(folder, **changes):
    options = {"max_slots": 4, "max_waiting": 8, "hurry_seconds": 0.01, **changes}
    return start(ServeOptions(model_dir=folder, name=MODEL, secret=SECRET, **options))


def end(*servers) -> None:
    for server in servers:
        server.stop.set()
        server.hurry.set()
        server.thread.join(WAIT_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("model"), chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def server(folder):
    server = begin(folder)
    yield server
    end(server)


@pytest.fixture
def behind(team, gateway, monkeypatch):
    """`behind(server, …)`: research/chat with these model servers as its replicas."""
    monkeypatch.setattr(replicas, "replica_secret", lambda pk, epoch: SECRET)

    def make(*servers) -> None:
        ports = [int(server.url.rpartition(":")[2]) for server in servers]
        serve(team, "chat", *(SimpleNamespace(port=port, secret="") for port in ports))
        wait_for_route(gateway, MODEL, len(servers))

    return make


@pytest.fixture
def client(gateway, ana):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key_of(ana), max_retries=0) as found:
        yield found


def health(server) -> dict:
    auth = {"Authorization": f"Bearer {SECRET}"}
    return httpx.get(f"{server.url}/health", headers=auth).json()


def idle(gateway, *servers) -> bool:
    """Nothing runs, waits or is counted anywhere."""
    there = [health(server) for server in servers]
    busy = any(said["running"] or said["waiting"] for said in there)
    counted = any(replica.outstanding for replica in gateway.gateway.tables.routes.replicas())
    return not busy and not counted


def chat(**changes):
    return lambda client: client.chat.completions.create(
        **{"model": MODEL, "messages": HELLO, "max_tokens": 4, **changes}
    )


def said(content, role: str = "user"):
    return chat(messages=[{"role": role, "content": content}])


def schema(given):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": given}}
    return chat(response_format=form)


def embedded(given):
    return lambda client: client.embeddings.create(model=MODEL, input=given)


#: (call, status, param or None, code or None)
WRONG = {
    "no messages": (chat(messages=[]), 400, "messages", None),
    "messages of another type": (chat(messages="hello"), 400, "messages", None),
    "a message that is none": (chat(messages=[None]), 400, "messages[0]", None),
    "an unknown role": (said("x", "root"), 400, "messages[0].role", None),
    "a role that is a number": (said("x", 5), 400, "messages[0].role", None),
    "content that is a number": (said(5), 400, "messages[0].content", None),
    "a picture": (said([{"type": "image_url"}]), 400, "messages[0].content[0].type", None),
    "a huge n": (chat(n=10**9), 400, "n", None),
    "more than 64 bits": (chat(n=10**40), 400, "n", None),
    "no choices": (chat(n=0), 400, "n", None),
    "an unknown model": (chat(model="research/none"), 404, "model", "model_not_found"),
    "an unknown adapter": (chat(model=f"{MODEL}:x"), 404, "model", "model_not_found"),
    "no model": (chat(model=""), 400, "model", "missing_model"),
    "a model of another type": (chat(model=5), 400, "model", "missing_model"),
    "a prompt over the context": (said("word " * 400), 400, "messages", "context_length_exceeded"),
    "an answer over it": (chat(max_tokens=5000), 400, "max_tokens", "context_length_exceeded"),
    "no tokens": (chat(max_tokens=0), 400, "max_tokens", None),
    "a hot temperature": (chat(temperature=9), 400, "temperature", None),
    "a temperature in words": (chat(temperature="hot"), 400, "temperature", None),
    "a schema that is none": (schema({"type": "nonsense"}), 400, "response_format", None),
    "a schema of another type": (schema([1]), 400, None, None),
    "an endless pattern": (chat(extra_body={"guided_regex": "("}), 400, "guided_regex", None),
    "too many stop strings": (chat(stop=["x"] * 17), 400, "stop", None),
    "tools": (chat(tools=[{"type": "function"}]), 400, "tools", None),
    "a bias for no token": (chat(logit_bias={"99999": 1}), 400, "logit_bias", None),
    "a misspelt field": (chat(extra_body={"temprature": 1}), 400, "temprature", None),
    "what only gateways say": (chat(extra_body={"slipway_resume": {}}), 400, None, None),
    "nothing to embed": (embedded([]), 400, "input", None),
    "ten megabytes": (said("x" * (10 << 20)), 413, None, "request_too_large"),
}


class TestWrongRequests:
    def test_of_stock_clients_are_named_and_leave_nothing(self, gateway, behind, server, client):
        behind(server)
        wrong = []
        for name, (call, status, param, code) in WRONG.items():
            try:
                call(client)
            except openai.APIStatusError as error:
                body = error.body if isinstance(error.body, dict) else {}
                found = (error.status_code, body.get("param"), body.get("code"))
                fine = found[0] == status and set(body) == {"message", "type", "param", "code"}
                if not fine or param not in (None, found[1]) or code not in (None, found[2]):
                    wrong.append((name, found, error.message))
            except Exception as error:
                wrong.append((name, f"{type(error).__name__}: {error}"[:300]))
            else:
                wrong.append((name, "was answered"))
        assert wrong == []
        # A stream is refused before it begins, in the same words.
        with pytest.raises(openai.BadRequestError) as refused:
            chat(stream=True, n=0)(client)
        assert refused.value.param == "n"
        with pytest.raises(openai.AuthenticationError):
            chat()(client.with_options(api_key="slip_nonsense"))
        assert idle(gateway, server) and health(server)["failed"] == 0
        # Odd, and no mistake.
        assert said("")(client).choices
        assert said("x", "developer")(client).choices


@pytest.fixture
def slow(monkeypatch):
    """Every step takes a while; it is set when one has begun."""
    real, begun, hastened = PackedRunner.forward, threading.Event(), threading.Event()

    def forward(runner, plan):
        begun.set()
        hastened.wait(0.02)
        return real(runner, plan)

    monkeypatch.setattr(PackedRunner, "forward", forward)
    yield begun
    hastened.set()


class TestClientsThatVanish:
    def test_leave_no_slot_whenever_they_go(self, gateway, behind, server, ana, slow):
        behind(server)
        key = key_of(ana)
        asked = {**LONG, "ignore_eos": True, "n": 2}
        path = {"path": "/v1/completions"}
        cancelled = health(server)["cancelled"]
        for stream in (False, True):
            body = json.dumps({**asked, "stream": stream}).encode()
            raw(gateway, key, body[:20], length=len(body), **path).close()
            raw(gateway, key, body, **path).close()
            slow.clear()
            with raw(gateway, key, body, **path):
                assert slow.wait(WAIT_S)
            with raw(gateway, key, body, **path) as connection:
                if stream:
                    assert connection.recv(300)
            # More than there are slots and places in line.
            crowd = [raw(gateway, key, body, **path) for _ in range(12)]
            for connection in crowd:
                connection.close()
        eventually(lambda: idle(gateway, server))
        assert health(server)["cancelled"] > cancelled and health(server)["failed"] == 0

    def test_or_take_nothing_of_what_they_asked_for(
        self, gateway, behind, server, ana, monkeypatch
    ):
        behind(server)
        monkeypatch.setattr(gateway_http, "READ_SECONDS", 0.3)
        monkeypatch.setattr(interrupt, "LOOK_S", 0.1)
        body = {**LONG, "ignore_eos": True, "n": 8, "logprobs": 20, "stream": True}
        raw_body = json.dumps(body).encode()
        deaf = raw(gateway, key_of(ana), raw_body, path="/v1/completions", buffer=4096)
        with deaf:
            eventually(lambda: not idle(gateway, server))
            eventually(lambda: idle(gateway, server))


class TestReplicasThatStop:
    """Past its time a replica ends what runs; the rest is had elsewhere, word by word."""

    @pytest.fixture
    def pair(self, folder, behind):
        servers = [begin(folder), begin(folder)]
        behind(*servers)
        yield servers
        end(*servers)

    @pytest.mark.parametrize("stream", [True, False])
    def test_in_the_middle(self, gateway, pair, client, slow, stream):
        wanted = httpx.post(
            f"{pair[0].url}/v1/completions",
            json={**LONG, "ignore_eos": True},
            headers={"Authorization": f"Bearer {SECRET}"},
            timeout=30,
        ).json()["choices"][0]["text"]
        told: list[str] = []

        def ask() -> None:
            answer = client.completions.create(**LONG_TEXT, stream=stream)
            for part in answer if stream else [answer]:
                told.append(part.choices[0].text)

        caller = threading.Thread(target=ask)
        caller.start()
        if stream:
            eventually(lambda: len(told) > 5)
        busy = eventually(lambda: next((s for s in pair if health(s)["running"]), None))
        busy.hurry.set()
        busy.stop.set()
        caller.join(WAIT_S)

        assert "".join(told) == wanted
        assert any("unfinished" in line for line in busy.log)
        left = next(s for s in pair if s is not busy)
        eventually(lambda: idle(gateway, left))
