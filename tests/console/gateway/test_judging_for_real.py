"""The judge over a real model server: what the likelihood of an answer is, and a question."""

import asyncio
from types import SimpleNamespace

import pytest

from console.gateway.keys import Key
from console.gateway.routes import Judge, Routes
from console.gateway.routing.judging import Case, Judges
from console.gateway.seats import Seats
from console.gateway.upstream import Upstream
from models_app.deployments.secrets import replica_secret
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.conftest import start
from workers.lm.inference.server import ServeOptions

TEXT, ONE, OTHER = "the quick brown fox", " jumps 你好", " over the lazy dog"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tiny.save(tmp_path_factory.mktemp("judge"), "llama", max_position_embeddings=1024)
    served = start(
        ServeOptions(model_dir=folder, name="judge", secret=replica_secret(1, 1), max_slots=4)
    )
    yield served
    served.stop.set()
    served.thread.join(timeout=20)


def verdict(server, by, answer, copy):
    """(what the judge says, its record)."""

    async def ask():
        routes, records, upstream = Routes(), [], Upstream()
        port = int(server.url.rpartition(":")[2])
        replica = {"id": 1, "epoch": 1, "node": "", "host": "127.0.0.1", "port": port}
        arm = {
            "revision_id": 1, "number": 1, "digest": "", "fingerprint": "", "version": "t/m:v1",
            "family": "transformer", "percent": 100, "mirror_percent": 0, "settings": {},
            "adapters": [], "replicas": [replica],
        }  # fmt: skip
        row = {"name": "t/judge", "deployment_id": 1, "team_id": 1, "created": 0, "asleep": False}
        routes.apply([{**row, "arms": [arm]}])
        seats = Seats(routes, lambda _pk: None)
        key = Key(1, "p", frozenset({"infer"}), None, 0.0)
        judges = Judges(routes, seats, upstream, SimpleNamespace(add=records.append))
        case = Case("r1", key, "/v1/completions", {"prompt": TEXT}, answer, copy)
        try:
            return await judges.verdict(Judge("t/judge", by), case), records[0]
        finally:
            await upstream.close()

    return asyncio.run(ask())


def mean(text, answer):
    """The mean log-probability of the tokens that `answer` adds to `text`, by the model itself."""
    import torch

    def score(whole):
        ids = tiny.tokenizer().encode(whole)
        with torch.no_grad():
            model = tiny.model("llama", max_position_embeddings=1024)
            logs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logs[place, token]) for place, token in enumerate(ids[1:])), len(ids)

    before, after = score(text), score(text + answer)
    return (after[0] - before[0]) / (after[1] - before[1])


def test_the_likelier_answer_is_the_one_that_the_model_finds_likelier(server):
    better, worse = sorted([ONE, OTHER], key=lambda answer: -mean(TEXT, answer))
    assert mean(TEXT, better) - mean(TEXT, worse) > 0.01

    said, record = verdict(server, "likelihood", worse, better)

    assert (said, record.status, record.detail) == ("win", 200, "")
    assert record.completion_tokens == 0
    assert verdict(server, "likelihood", better, worse)[0] == "loss"


def test_a_question_is_answered_with_one_of_both_numbers(server):
    """The model knows nothing: what it must keep to, it keeps to, in both orders."""
    said, record = verdict(server, "question", ONE, OTHER)
    assert said in ("win", "loss", "tie")
    assert (record.status, record.detail) == (200, "")


def test_what_does_not_fit_into_its_context_is_not_judged(server):
    said, record = verdict(server, "likelihood", ONE * 400, OTHER)
    assert (said, record.status) == (None, 503)
    assert record.detail.startswith("400 ")
