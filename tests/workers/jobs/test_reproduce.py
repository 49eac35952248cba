"""A version is rebuilt from its record; what differs is named, earliest cause first."""

import pytest

from models_app.jobs.attempts import job_fail
from models_app.jobs.claims import job_claim
from models_app.jobs.models import Job, JobAttempt, MetricPoint
from models_app.registry.models import ModelVersion, Reproduction
from models_app.registry.services import (
    model_create,
    reproduction_plan,
    reproduction_start,
    training_start,
)
from tests.factories.data import ready_version
from tests.factories.jobs import placed
from tests.factories.nodes import ready_node
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def trained(ana, team, data, tmp_path):
    def make(name="poet", **changes):
        model = model_create(actor=ana, team=team, name=name)
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=data, spec={**TINY, **changes}
        )
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        return version

    return make


@pytest.fixture
def version(trained):
    return trained()


@pytest.fixture
def rebuild(ana, tmp_path):
    def run(version):
        row = reproduction_start(actor=ana, version=version)
        job = run_job(row.job, tmp_path)
        assert job.state == "succeeded", job.reason
        row.refresh_from_db()
        return row

    return run


def results(row):
    return {part["name"]: part["result"] for part in row.report["parts"]}


class TestRebuilding:
    def test_gives_the_same_and_makes_no_version(self, version, rebuild):
        row = rebuild(version)

        assert row.verdict == "equal"
        assert row.divergence == ""
        assert set(results(row).values()) == {"equal"}
        series = next(part for part in row.report["parts"] if part["name"] == "series")
        assert (series["compared"], series["last_step"]) > (18, 5)
        assert ModelVersion.objects.count() == 1

    def test_names_the_first_step_and_the_first_tensor(self, ana, version, rebuild, monkeypatch):
        from workers.lm.training import steps

        real = steps.learning_rate_at
        monkeypatch.setattr(
            steps, "learning_rate_at", lambda spec, step: real(spec, step) * (1 + (step >= 3))
        )

        row = rebuild(version)

        assert row.verdict == "different"
        assert results(row) == {
            "dataset": "equal", "code": "equal", "environment": "equal", "tokenizer": "equal",
            "series": "different", "weights": "different", "files": "different",
        }  # fmt: skip
        assert row.divergence.startswith("First step that differs: 4, learning_rate 0.00068")
        assert "First tensor that differs: transformer." in row.divergence
        weights = next(part for part in row.report["parts"] if part["name"] == "weights")
        assert 0 < weights["tensor"]["max_difference"] < 0.01

    def test_names_the_package_beforehand_and_in_the_report(self, version, rebuild):
        ready_node("test")
        packages = {**version.environment["packages"], "numpy": "1.0"}
        ModelVersion.objects.filter(pk=version.pk).update(
            environment={**version.environment, "packages": packages}
        )
        version.refresh_from_db()

        plan = reproduction_plan(version)
        row = rebuild(version)

        assert plan["node"] == "test"
        assert plan["differences"][0]["part"] == "packages.numpy"
        assert plan["differences"][0]["recorded"] == "1.0"
        assert row.verdict == "equal"  # another package, and the same result all the same
        assert results(row)["environment"] == "different"

    def test_of_old_versions_without_a_record_compares_what_there_is(self, version, rebuild):
        version.record.delete()
        JobAttempt.objects.filter(job=version.produced_by).update(environment={})

        row = rebuild(version)

        assert row.verdict == "equal"
        assert results(row)["code"] == "unknown"

    def test_points_to_what_was_measured_otherwise(self, version, rebuild):
        version.record.delete()
        MetricPoint.objects.filter(job=version.produced_by, name="loss", step=2).update(value=9)

        row = rebuild(version)

        assert row.verdict == "different"
        assert row.divergence.startswith("First step that differs: 2, loss 9.0 →")

    def test_that_fails_says_why(self, ana, version):
        row = reproduction_start(actor=ana, version=version)
        held = job_claim(worker="w", node="n", job_id=placed(row.job, "n").pk)

        job_fail(job=held, code="oom", message="Out of memory.", permanent=True, attempt={})

        row.refresh_from_db()
        assert (row.verdict, row.divergence) == ("failed", "Out of memory.")


class TestApi:
    def test_starts_lists_and_reads(self, ben, version, api_for, tmp_path):
        api, url = api_for(ben), f"{V1}/model-versions/{version.pk}/reproductions"

        made = api.post(url, headers={"Idempotency-Key": "k"})
        again = api.post(url, headers={"Idempotency-Key": "k"})
        run_job(Job.objects.get(pk=made.json()["job"]), tmp_path)
        listed = api.get(url).json()["results"]
        read = api.get(made["Location"]).json()

        assert made.status_code == again.status_code == 202
        assert made.json()["id"] == again.json()["id"]
        assert made.json()["beforehand"] == {"node": None, "differences": []}
        assert [row["verdict"] for row in listed] == ["equal"]
        assert read["report"]["digest"] == version.digest

    def test_is_for_builders_and_for_trained_versions(self, eve, ben, version, api_for):
        url = f"{V1}/model-versions/{version.pk}/reproductions"
        assert api_for(eve).post(url).status_code == 403

        ModelVersion.objects.filter(pk=version.pk).update(config_revision=None)

        assert api_for(ben).post(url).status_code == 409
        assert not Reproduction.objects.exists()

    def test_is_hidden_from_outsiders(self, cai, ana, version, api_for):
        row = reproduction_start(actor=ana, version=version)
        urls = [f"{V1}/model-versions/{version.pk}/reproductions", f"{V1}/reproductions/{row.pk}"]

        assert_hidden(api_for(cai), urls, urls[:1])
        assert_needs_sign_in(urls)
