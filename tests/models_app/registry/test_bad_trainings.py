"""What cannot be trained is refused by field, with the remedy, before there is a job."""

import json

import pytest

from models_app.jobs.models import Job
from models_app.registry.models import Model, ModelVersion
from tests.factories.data import finished, pending_version, stored
from tests.factories.nodes import ready_node
from tests.workers.jobs.test_train import TINY
from tests.workers.lm.training.conversations import sums, talk

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
CHAT = {**TINY, "tokenizer": "bpe", "vocab_size": 300, "loss_on": "answers"}


def refused(answer, field, word=""):
    """One problem of RFC 9457 that names the field; nothing was queued."""
    assert answer.status_code == 422, answer.content
    assert answer["Content-Type"].startswith("application/problem+json")
    errors = answer.json()["errors"]
    assert field in errors, errors
    text = " ".join(errors[field])
    assert word in text, text
    assert not Job.objects.filter(kind="train", state="pending").exists()


@pytest.fixture
def ask(ben, team, data, api_for):
    """`ask(config, **fields)`: the answers to an estimate and to a start of that training."""
    ready_node("n1")
    Model.objects.get_or_create(team=team, name="tale")

    def both(config, **fields):
        body = {"team": "research", "dataset_version": data.pk, "config": config, **fields}
        api = api_for(ben)
        yield api.post(f"{V1}/training-runs/estimate", body, format="json")
        yield api.post(f"{V1}/training-runs", {**body, "model": "tale"}, format="json")

    return both


SETTINGS = [
    ({"learning_rate": 0}, "learning_rate", "0.000000001"),
    ({"learning_rate": -1e-3}, "learning_rate", "0.000000001"),
    ({"learning_rate": "NaN"}, "learning_rate", "finite"),
    ({"learning_rate": "inf"}, "learning_rate", "finite"),
    ({"learning_rate": "fast"}, "learning_rate", "number"),
    ({"learning_rate": None}, "learning_rate", "number"),
    ({"learning_rate": 11}, "learning_rate", "10"),
    ({"min_learning_rate": 1}, "min_learning_rate", "at most the learning rate"),
    ({"steps": 0}, "steps", "1"),
    ({"steps": 1.5}, "steps", "integer"),
    ({"warmup_steps": 6}, "warmup_steps", "fewer than the 6"),
    ({"batch_size": 0}, "batch_size", "1"),
    ({"gradient_accumulation": 3}, "gradient_accumulation", "divisor"),
    ({"processes": 3}, "processes", "Use one of 1, 2, 4"),
    ({"processes": 3, "parallel": "tensor"}, "processes", "Use"),
    ({"processes": 4, "threads": 9}, "processes", "Use at most"),
    ({"sequence_length": 100_000}, "sequence_length", "Shorten the sequence"),
    ({"loss_on": "answers"}, "tokenizer", "marks of roles"),
    ({"sampling": "documents"}, "sampling", "loss on answers"),
    ({"lora_rank": 4}, "lora_rank", "base version"),
    ({"tokenizer": "base", "preset": None}, "tokenizer", "Choose one"),
    ({"preset": "gpt9"}, "preset", "gpt2-1m"),
    ({"preset": None, "architecture": {"model_type": "llama"}}, "architecture", "hidden_size"),
    ({"seed": 2**63}, "seed", ""),
    ({"dropout": 1.0}, "dropout", "0.9"),
    ({"colour": "red"}, "colour", "spelling"),
    ({"processes": 4, "nodes": 3}, "nodes", "Use one of 1, 2, 4"),
    ({"processes": 2, "nodes": 2, "publish": "best"}, "publish", "publish the last"),
    ({"processes": 2, "nodes": 2, "on_divergence": "rewind"}, "on_divergence", "stop or skip"),
]


@pytest.mark.parametrize(("changes", "field", "word"), SETTINGS)
def test_bad_settings(ask, changes, field, word):
    for answer in ask({**TINY, **changes}):
        refused(answer, f"config.{field}", word)


@pytest.mark.parametrize("literal", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have(ben, api_for, data, literal):
    text = json.dumps({"team": "research", "dataset_version": data.pk, "config": TINY})
    body = text.replace('"learning_rate": 0.001', f'"learning_rate": {literal}')
    assert literal in body

    answer = api_for(ben).generic(
        "POST", f"{V1}/training-runs/estimate", body.encode(), content_type="application/json"
    )

    assert answer.status_code == 400
    assert literal.strip("-") in answer.json()["detail"]


class TestBases:
    @pytest.mark.parametrize("family", ["ngram", "hmm"])
    def test_of_another_family(self, ask, team, family):
        base = ModelVersion.objects.create(
            model=Model.objects.create(team=team, name="counted", family=family), number=1,
            state="ready", format=family, facts={},
        )  # fmt: skip
        spec = {**TINY, "preset": None, "tokenizer": "base"}
        for answer in ask(spec, base_version=base.pk):
            refused(answer, "base_version", "cannot be trained further")

    def test_for_a_family_that_begins_anew(self, ben, team, data, api_for, version):
        Model.objects.create(team=team, name="counted", family="ngram")
        body = {"team": "research", "dataset_version": data.pk, "config": {}, "model": "counted",
                "base_version": version.pk}  # fmt: skip

        refused(api_for(ben).post(f"{V1}/training-runs", body, format="json"), "base_version",
                "Leave the base version empty")  # fmt: skip

    def test_of_characters_for_answers(self, ask, version):
        spec = {**TINY, "preset": None, "tokenizer": "base", "loss_on": "answers"}
        for answer in ask(spec, base_version=version.pk):
            refused(answer, "config.loss_on", "a base that can chat")


class TestAnswers:
    @pytest.fixture
    def talks(self, ana, team, tmp_path):
        def make(rows, **options):
            text = "\n".join(json.dumps(row) for row in rows).encode()
            return finished(
                pending_version(ana, team, stored("a.jsonl", text), **options), tmp_path
            )

        return make

    def test_plain_text_has_none(self, ask):
        for answer in ask(CHAT):
            refused(answer, "config.loss_on", "Learn all tokens")

    def test_conversations_without_an_assistant_have_none(self, ask, talks):
        rows = [{"messages": talk(f"Say {n} again.", "")["messages"][:1]} for n in range(30)]
        for answer in ask(CHAT, dataset_version=talks(rows).pk):
            refused(answer, "config.loss_on", "has no answers of assistants")

    def test_there_must_be_some_that_are_held_out(self, ask, talks):
        found = talks(sums(30, 1))
        found.counts = {**found.counts, "validation": {**found.counts["validation"], "answered": 0}}
        found.save(update_fields=["counts"])
        for answer in ask(CHAT, dataset_version=found.pk):
            refused(answer, "config.loss_on", "larger validation share")

    def test_conversations_are_counted_and_planned(self, ask, talks):
        found = talks([*sums(30, 1), {"text": 'He said: "role":"assistant" is a key.'}])

        counts = found.counts
        assert counts["total"]["answered"] == 30 < counts["total"]["documents"]
        estimate = next(ask({**CHAT, "sequence_length": 48}, dataset_version=found.pk))
        assert estimate.status_code == 200, estimate.content

    def test_unknown_roles_name_their_line(self, talks):
        rows = [*sums(3, 1), {"messages": [{"role": "robot", "content": "Beep."}]}]

        found = talks(rows)

        assert found.state == "failed"
        assert "line 4" in found.error and "'robot'" in found.error
        assert "system, user, assistant, tool" in found.error
