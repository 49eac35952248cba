"""The whole line with nothing in between replaced: stock client, gateway, a real model server."""

import json
import subprocess
import sys
import typing

import openai
import pydantic
import pytest

from models_app.configs.models import ConfigRevision
from models_app.deployments.models import Replica
from models_app.deployments.secrets import replica_secret
from models_app.events.publish import publish_now
from tests.fakes.gateway import CHAT, eventually, key_of, record_of, serve, wait_for_route
from tests.workers.lm.inference import tiny

pytestmark = pytest.mark.slow
MODEL = "research/tiny"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def server(gateway, team, model_dir, tmp_path):
    """research/tiny, served by a child process as a serve job would."""
    deployment = serve(team, "tiny")
    row = Replica.objects.create(revision=deployment.active_revision, epoch=1)
    secret, ready = tmp_path / "secret", tmp_path / "ready"
    secret.write_text(replica_secret(row.pk, 1))
    command = [sys.executable, "-m", "workers.lm.inference.server", "--name", MODEL]
    options = {"model-dir": model_dir, "secret-file": secret, "ready-file": ready}
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    child = subprocess.Popen(command)
    eventually(ready.exists)
    told = json.loads(ready.read_text())
    Replica.objects.update(state="ready", host=told["host"], port=told["port"])
    publish_now("routes.changed", {}, "gateway")
    wait_for_route(gateway, MODEL, 1)
    yield child
    child.kill()
    child.wait()


def test_whole_streamed_and_interrupted_answers_are_counted_exactly(gateway, server, ana):
    key = key_of(ana)
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)
    options = {"model": MODEL, "temperature": 0, "extra_body": {"ignore_eos": True}}
    with client:
        whole = client.completions.create(prompt="the quick", max_tokens=12, **options)
        chunks = list(
            client.completions.create(prompt="the quick", max_tokens=12, stream=True, **options)
        )
        counted = list(
            client.chat.completions.create(
                messages=CHAT["messages"],
                max_completion_tokens=5,
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
        )
        with client.completions.create(
            prompt="the quick",
            max_tokens=100,
            stream=True,
            extra_headers={"x-request-id": "stopped"},
            **options,
        ) as stopped:
            next(iter(stopped))

    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert whole.usage.completion_tokens == 12
    assert all("usage" not in chunk.model_extra and not chunk.usage for chunk in chunks)
    row = record_of(whole._request_id)
    assert (row.prompt_tokens, row.completion_tokens) == (whole.usage.prompt_tokens, 12)
    assert counted[-1].usage.completion_tokens == 5 and counted[-1].choices == []
    row = record_of("stopped")
    assert row.outcome == "client_closed" and row.prompt_tokens == whole.usage.prompt_tokens
    assert 1 <= row.completion_tokens <= 100


def test_a_killed_server_ends_the_stream_with_an_error(gateway, server, ana):
    """There is no other replica, and none comes within the time that requests may wait."""
    ConfigRevision.objects.update(spec={"queue_wait_s": 1})
    publish_now("routes.changed", {}, "gateway")
    routes = gateway.gateway.tables.routes
    eventually(lambda: routes.by_name[MODEL].active.settings.queue_wait_s == 1)
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key_of(ana), max_retries=0)
    said = []

    with client, pytest.raises(openai.APIError) as caught:
        for chunk in client.completions.create(
            model=MODEL, prompt="the", max_tokens=120, stream=True, extra_body={"ignore_eos": True}
        ):
            said.append(chunk)
            server.kill()

    assert said and caught.value.code == "replica_lost"


def test_the_servers_refusals_reach_the_client(gateway, server, ana):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key_of(ana), max_retries=0)
    with client, pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="x", temperature=9)

    assert caught.value.param == "temperature"


def test_forms_and_embeddings_are_served_to_the_stock_client(gateway, server, ana):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key_of(ana), max_retries=0)

    class Verdict(pydantic.BaseModel):
        verdict: typing.Literal["good", "bad"]

    with client:
        answer = client.chat.completions.parse(
            model=MODEL,
            messages=CHAT["messages"],
            response_format=Verdict,
            max_completion_tokens=80,
            seed=1,
            top_p=0.9,
        )
        made = client.embeddings.create(model=MODEL, input=["one", "two words"])
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                model=MODEL,
                messages=CHAT["messages"],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "objekt"}},
                },
            )

    assert answer.choices[0].message.parsed.verdict in ("good", "bad")
    assert [len(item.embedding) for item in made.data] == [32, 32]
    assert record_of(made._request_id).prompt_tokens == made.usage.prompt_tokens
    assert caught.value.param == "response_format"
