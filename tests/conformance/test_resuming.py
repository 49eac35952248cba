"""A stream survives its replica: another one goes on, and the stock client notices nothing."""

import json
import subprocess
import sys
import time

import openai
import pytest

from models_app.deployments.models import Replica
from models_app.deployments.secrets import replica_secret
from models_app.events.publish import publish_now
from tests.fakes.cutting import Cutter
from tests.fakes.gateway import (
    activate,
    eventually,
    key_of,
    record_of,
    revision_of,
    serve,
    wait_for_route,
)
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import start
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.server import ServeOptions

pytestmark = pytest.mark.slow
MODEL = "research/tiny"
TEXT = {"model": MODEL, "prompt": "the quick", "max_tokens": 40, "stream": True}
CHAT = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "hello"}],
    "max_completion_tokens": 30,
    "stream": True,
    "stream_options": {"include_usage": True},
}
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("tiny"))


class Pair:
    """Two real model servers of one revision, each behind a line that can be cut."""

    def __init__(self, deployment, model_dir) -> None:
        self.deployment = deployment
        self.cut: list[int] = []
        self.model_dir = model_dir
        self.servers, self.cutters = [], []
        for _ in range(2):
            self.add(deployment.active_revision)

    def add(self, revision) -> Replica:
        row = Replica.objects.create(revision=revision, epoch=1)
        options = ServeOptions(
            model_dir=self.model_dir,
            name=MODEL,
            secret=replica_secret(row.pk, 1),
            max_slots=4,
            drain_seconds=0,
        )
        server = start(options)
        cutter = Cutter(int(server.url.rpartition(":")[2]), self.cut).start()
        self.servers.append(server)
        self.cutters.append(cutter)
        Replica.objects.filter(pk=row.pk).update(state="ready", host="127.0.0.1", port=cutter.port)
        publish_now("routes.changed", {}, "gateway")
        return row

    def stop(self) -> None:
        for server in self.servers:
            server.stop.set()
        for cutter in self.cutters:
            cutter.stop()
        for server in self.servers:
            server.thread.join(20)

    @property
    def broken(self) -> int:
        return sum(cutter.broken for cutter in self.cutters)


@pytest.fixture
def pair(gateway, team, model_dir):
    running = Pair(serve(team, "tiny"), model_dir)
    wait_for_route(gateway, MODEL, 2)
    yield running
    running.stop()


@pytest.fixture
def client(gateway, ana):
    url, key = f"{gateway.url}/v1", key_of(ana)
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60) as opened:
        yield opened


def heard(stream) -> dict:
    """All that a client learns from a stream, choice by choice."""
    said: dict = {"choices": {}, "ids": set(), "usage": None}
    for chunk in stream:
        said["ids"].add((chunk.id, chunk.created, chunk.system_fingerprint))
        said["usage"] = chunk.usage or said["usage"]
        for choice in chunk.choices:
            known = said["choices"].setdefault(choice.index, {"text": "", "roles": 0, "scores": []})
            delta = getattr(choice, "delta", None)
            known["text"] += (delta.content or "") if delta is not None else choice.text
            known["roles"] += bool(delta is not None and delta.role)
            known["finish"] = choice.finish_reason
            if choice.logprobs is not None and getattr(choice.logprobs, "content", None):
                known["scores"] += [item.token for item in choice.logprobs.content]
    return said


ASKS = {
    "greedy": {**TEXT, "temperature": 0, "extra_body": {"ignore_eos": True}},
    "drawn": {**TEXT, "temperature": 1.2, "seed": 11, "extra_body": {"ignore_eos": True}},
    "several prompts": {**TEXT, "prompt": ["one", "two"], "n": 2, "seed": 5, "max_tokens": 12},
    "chat": {**CHAT, "seed": 3, "n": 2, "logprobs": True, "top_logprobs": 1},
    "in a form": {
        **CHAT,
        "seed": 8,
        "max_completion_tokens": 100,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    },
}


@pytest.mark.parametrize("name", ASKS)
def test_a_stream_that_is_cut_anywhere_is_the_one_that_was_not(pair, client, name):
    ask = ASKS[name]
    create = client.chat.completions.create if "messages" in ask else client.completions.create
    whole = heard(create(**ask))
    for cuts in ([1], [9, 3], [4, 1]):
        pair.cut[:] = cuts
        before = pair.broken
        again = heard(create(**ask, extra_headers={"x-request-id": f"cut-{name[0]}-{cuts[0]}"}))
        assert again["choices"] == whole["choices"], cuts
        assert len(again["ids"]) == 1
        assert again["usage"] == whole["usage"]
        assert pair.broken > before
        row = record_of(f"cut-{name[0]}-{cuts[0]}")
        assert (row.status, row.resumes) == (200, pair.broken - before)
        assert "lost after" in row.detail
        pair.cut.clear()


def test_the_stream_itself_says_where_another_replica_went_on(pair, client):
    create = client.completions.with_streaming_response.create
    with create(**TEXT, extra_body={"ignore_eos": True}) as undisturbed:
        assert "x-resumed" not in undisturbed.read().decode()
    pair.cut[:] = [6]
    with create(**TEXT, extra_body={"ignore_eos": True}) as cut:
        events = cut.read().decode().split("\n\n")
    assert events.count(": x-resumed: 1") == 1
    assert 0 < events.index(": x-resumed: 1") < len(events) - 2


def test_what_is_drawn_without_a_seed_goes_on_too(pair, client):
    pair.cut[:] = [6]
    said = heard(client.completions.create(**TEXT, extra_body={"ignore_eos": True}))
    assert pair.broken == 1
    assert said["choices"][0]["finish"] == "length"


def test_a_stream_that_breaks_again_and_again_is_given_up(pair, client):
    pair.cut[:] = [3, 3, 3, 3]
    with pytest.raises(openai.APIError) as caught:
        heard(client.completions.create(**TEXT, extra_body={"ignore_eos": True}))
    assert caught.value.code == "replica_lost"
    assert pair.broken == 4


@pytest.fixture
def slowly(monkeypatch):
    """Each step of the model servers takes some milliseconds, so that streams can be caught."""
    forward = PackedRunner.forward

    def slow(self, plan):
        time.sleep(0.005)
        return forward(self, plan)

    monkeypatch.setattr(PackedRunner, "forward", slow)


LONG = {**TEXT, "max_tokens": 100, "temperature": 0, "extra_body": {"ignore_eos": True}}


def begun(client, pair):
    """A stream of which something was heard, and who sends it."""
    pieces = iter(client.completions.create(**LONG, extra_headers={"x-request-id": "long"}))
    said = next(pieces).choices[0].text
    sender = eventually(lambda: [n for n, cutter in enumerate(pair.cutters) if cutter.streaming])
    return pieces, said, sender[0]


def rest(pieces) -> str:
    return "".join(chunk.choices[0].text for chunk in pieces)


def test_a_server_that_is_told_to_leave_hands_its_streams_over(slowly, pair, client):
    whole = heard(client.completions.create(**LONG))
    pieces, said, sender = begun(client, pair)
    pair.servers[sender].stop.set()  # its time to finish what runs is over at once
    assert said + rest(pieces) == whole["choices"][0]["text"]
    assert record_of("long").resumes == 1


def test_a_revision_that_was_replaced_meanwhile_ends_its_streams_itself(
    slowly, pair, client, gateway
):
    whole = heard(client.completions.create(**LONG))
    pieces, said, sender = begun(client, pair)
    newer = revision_of(pair.deployment, 2)
    activate(newer)
    wait_for_route(gateway, MODEL, 0)
    pair.cutters[sender].break_now()
    assert said + rest(pieces) == whole["choices"][0]["text"]
    row = record_of("long")
    assert (row.resumes, row.revision_id) == (1, pair.deployment.active_revision_id)


def test_another_revision_never_goes_on_with_an_answer(slowly, pair, client, gateway):
    pieces, _, sender = begun(client, pair)
    newer = revision_of(pair.deployment, 2)
    pair.add(newer)
    activate(newer)
    wait_for_route(gateway, MODEL, 1)
    for number, cutter in enumerate(pair.cutters[:2]):
        if number != sender:
            cutter.stop_listening()
    pair.cutters[sender].stop_listening()
    pair.cutters[sender].break_now()
    with pytest.raises(openai.APIError) as caught:
        rest(pieces)
    assert caught.value.code == "replica_lost"


def test_a_killed_process_is_survived(gateway, team, model_dir, tmp_path, ana, client):
    """The same with kill -9 of a real process, which is all alone until another one is ready."""
    deployment = serve(team, "tiny")
    children = []
    for number in range(2):
        row = Replica.objects.create(revision=deployment.active_revision, epoch=1)
        secret, ready = tmp_path / f"secret{number}", tmp_path / f"ready{number}"
        secret.write_text(replica_secret(row.pk, 1))
        command = [sys.executable, "-m", "workers.lm.inference.server", "--name", MODEL]
        options = {"model-dir": model_dir, "secret-file": secret, "ready-file": ready}
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        children.append((row, subprocess.Popen(command), ready))
    try:
        for row, _, ready in children:
            eventually(ready.exists)
            told = json.loads(ready.read_text())
            Replica.objects.filter(pk=row.pk).update(
                state="ready", host=told["host"], port=told["port"]
            )
        publish_now("routes.changed", {}, "gateway")
        wait_for_route(gateway, MODEL, 2)
        ask = {**LONG, "n": 4, "max_tokens": 110, "temperature": 1.1, "seed": 2}
        whole = heard(client.completions.create(**ask))
        pieces = iter(client.completions.create(**ask, extra_headers={"x-request-id": "killed"}))
        first = next(pieces)
        replicas = gateway.gateway.tables.routes.replicas()
        busy = {replica.id for replica in replicas if replica.outstanding}
        for row, child, _ in children:
            if row.pk in busy:
                child.kill()
        again = heard([first, *pieces])
        assert {k: v["text"] for k, v in again["choices"].items()} == {
            k: v["text"] for k, v in whole["choices"].items()
        }
        assert record_of("killed").status == 200
    finally:
        for _, child, _ in children:
            child.kill()
            child.wait()
