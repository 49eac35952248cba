"""The attack suite against a version: counts, failures and a score, or a refusal with a field."""

import json

import pytest

from models_app.core.blobs import tree_put
from models_app.core.errors import InvalidInput
from models_app.registry.models import ModelVersion
from models_app.registry.services import attack_start, model_create, version_quarantine
from tests.factories.corpora import lines_of, texts
from tests.factories.data import finished, pending_version, stored
from tests.factories.imports import adapter_folder, model_folder
from tests.fakes.jobs import run_job
from workers.lm.attacks import generating
from workers.lm.attacks.suite import run_secrets

pytestmark = pytest.mark.django_db
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}<{{ m.content }}>{% endfor %}"
)


@pytest.fixture
def data(ana, team, tmp_path):
    """Rows that are long enough to be shown a part of."""
    file = stored("a.jsonl", "\n".join(lines_of(texts(12, words=120))).encode())
    return finished(pending_version(ana, team, file), tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Random weights with a context that every prompt fits into."""
    return model_folder(tmp_path / "outside")


@pytest.fixture
def made(ana, team):
    def make(folder, name="poet", family="transformer", **fields):
        model = model_create(actor=ana, team=team, name=name)
        model.family = family
        model.save()
        return ModelVersion.objects.create(
            model=model,
            number=1,
            state="ready",
            manifest=tree_put(folder),
            digest="0" * 64,
            **fields,
        )

    return make


@pytest.fixture
def roomy(monkeypatch):
    """Rotary positions go beyond what the configuration says: no prompt is too long."""
    monkeypatch.setattr(generating, "context_of", lambda config: 1024)


def rows_of(run):
    return {row["name"]: row for row in run.report["categories"]}


def asked(job, tmp_path):
    job = run_job(job, tmp_path)
    assert job.state == "succeeded", job.reason
    return job


class TestAttack:
    def test_keeps_counts_failures_and_a_score(self, ana, made, folder, data, roomy, tmp_path):
        version = made(folder, dataset_version=data)
        job = asked(attack_start(actor=ana, version=version, tokens=16, rows=3), tmp_path)

        run = version.attacks.get()
        rows = rows_of(run)
        assert job.result == {"attack": run.pk, "score": run.score, "suite": 1}
        assert run.score == run.passed / run.applicable
        assert rows["secret_leak"]["count"] == rows["injection"]["count"] == 10
        assert rows["harmful_request"]["why"] == "no_chat_template"
        assert (
            rows["personal_data"]["count"] == run.applicable == 28 + rows["memorisation"]["count"]
        )
        assert rows["memorisation"]["count"] == 3
        assert run.report["memorisation"] == {"shown": 50, "compared": 50, "longest": 0}
        assert [row["role"] for row in job.inputs] == ["model version", "dataset version"]

    def test_gives_the_same_for_the_same_seed(self, ana, made, folder, roomy, tmp_path):
        version = made(folder)
        for _ in range(2):
            asked(attack_start(actor=ana, version=version, seed=5, tokens=16), tmp_path)

        first, second = version.attacks.all()
        assert first.report == second.report
        assert rows_of(first)["memorisation"]["why"] == "no_training_data"

    def test_asks_chat_models_for_harm_and_takes_templates_without_system(
        self, ana, made, folder, roomy, tmp_path
    ):
        (folder / "chat_template.jinja").write_text(TEMPLATE)
        version = made(folder)

        asked(attack_start(actor=ana, version=version, tokens=16, rows=0), tmp_path)

        run = version.attacks.get()
        assert rows_of(run)["harmful_request"]["count"] == 12
        assert run.report["chat_template"]

    def test_skips_what_the_context_has_no_room_for(self, ana, made, folder, tmp_path):
        version = made(folder)  # 64 tokens
        asked(attack_start(actor=ana, version=version, tokens=16), tmp_path)

        rows = rows_of(version.attacks.get())
        assert rows["secret_leak"]["why"] == "short_context"
        assert rows["secret_leak"]["skipped"] == 10
        assert rows["personal_data"]["count"] > 0

    def test_an_adapter_is_asked_with_its_base(self, ana, made, folder, roomy, tmp_path):
        base = made(folder, name="base")
        adapter = made(
            adapter_folder(tmp_path / "adapter"), family="adapter", base_version=base
        )  # fmt: skip
        job = asked(attack_start(actor=ana, version=adapter, tokens=16), tmp_path)

        assert [row["role"] for row in job.inputs] == ["model version", "base version"]
        assert adapter.attacks.get().applicable == 28


class TestFailures:
    """Answers are put in the model's mouth; the rules see them as they see real ones."""

    @pytest.fixture
    def says(self, monkeypatch):
        def make(answer):
            tokens = lambda self, prompt, tokens: [prompt]  # noqa: E731
            monkeypatch.setattr(generating.Asked, "answer", tokens)
            monkeypatch.setattr(generating.Asked, "text", lambda self, tokens: answer)

        return make

    def test_are_named_with_their_answers(self, ana, made, folder, roomy, says, tmp_path):
        canary, marker = run_secrets(3)
        says(f"Well, {canary} and {marker}. Mail eve@example.com, it costs 3 \0 dollars.")
        (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")
        version = made(folder)

        asked(attack_start(actor=ana, version=version, seed=3), tmp_path)

        run = version.attacks.get()
        rows = rows_of(run)
        assert run.score == 0
        broken = ("secret_leak", "injection", "harmful_request")
        assert [rows[name]["passed"] for name in broken] == [0, 0, 0]
        assert rows["secret_leak"]["failures"][0]["id"] == "leak-01"
        assert rows["secret_leak"]["failures"][0]["found"] == "verbatim"
        assert "[EMAIL]" in rows["personal_data"]["failures"][0]["output"]
        assert "eve@example.com" not in json.dumps(run.report)

    def test_refusals_pass(self, ana, made, folder, roomy, says, tmp_path):
        says("I'm sorry, I can't help with that.")
        (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")
        version = made(folder)

        asked(attack_start(actor=ana, version=version), tmp_path)

        assert version.attacks.get().score == 1


class TestRefusals:
    def test_a_quarantined_version(self, ana, made, folder):
        version = made(folder)
        version_quarantine(actor=ana, version=version, reason="Leaks addresses")
        assert "not ready" in refused(ana, version)

    def test_a_format_that_is_not_loaded_here(self, ana, made, folder):
        said = refused(ana, made(folder, format="gguf"))
        assert "gguf" in said and "cannot be attacked" in said

    def test_a_family_that_generates_nothing(self, ana, made, folder):
        said = refused(ana, made(folder, family="embedding"))
        assert "generates no text" in said

    def test_an_adapter_without_its_base(self, ana, made, tmp_path):
        said = refused(ana, made(adapter_folder(tmp_path / "a"), family="adapter"))
        assert "base – is not ready" in said

    def test_a_context_without_room_for_anything(self, ana, made, folder, monkeypatch, tmp_path):
        monkeypatch.setattr(generating, "context_of", lambda config: 16)
        job = run_job(attack_start(actor=ana, version=made(folder)), tmp_path)
        assert (job.state, job.reason_code) == ("failed", "config_invalid")
        assert "has no room" in job.reason


def refused(actor, version):
    with pytest.raises(InvalidInput) as found:
        attack_start(actor=actor, version=version)
    return found.value.errors["version"][0]
