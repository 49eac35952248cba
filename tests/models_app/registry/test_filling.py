"""Versions of runs elsewhere: registered once, filled by one import, or given up."""

import hashlib
import json
from threading import Barrier, Thread

import pytest
from django.db import connections

from models_app.audit.models import AuditEvent
from models_app.core.blobs import blob_open
from models_app.core.digests import tree_digest
from models_app.core.errors import Conflict, SlipwayError
from models_app.deployments.lineage.graph import lineage_graph
from models_app.jobs.services import job_cancel
from models_app.registry.importing import PathSource
from models_app.registry.models import ModelVersion, VersionRecord
from models_app.registry.provenance import version_provenance
from models_app.registry.selectors import version_standing
from models_app.registry.services import (
    model_create,
    run_begin,
    run_end,
    run_log_metrics,
    version_import,
    version_register,
)
from models_app.registry.verification import version_verify
from tests.factories.data import ready_version as ready_data
from tests.factories.imports import change_json, model_folder
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_model_import import inbox

__all__ = ["inbox"]
# Fixtures are imported and then named as arguments.
pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture(autouse=True)
def disk(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()


@pytest.fixture
def model(ben, team):
    return model_create(actor=ben, team=team, name="poet")


@pytest.fixture
def run(ben, team, model):
    run = run_begin(actor=ben, team=team, name="laptop", model=model, params={"lr": 0.1})
    run_log_metrics(actor=ben, job=run.job, points=[("loss", 1, 3.0, None), ("loss", 2, 2.5, None)])
    return run


@pytest.fixture
def waiting(ben, model, run):
    return version_register(actor=ben, model=model, run=run, notes="From my laptop")


@pytest.fixture
def api(ben, api_for):
    return api_for(ben)


def body(**changes):
    return {"team": "research", "model": "poet", "version": "v1", "path": "llama", **changes}


class TestFilling:
    def test_an_import_fills_the_version_and_keeps_what_it_was(
        self, ben, team, model, inbox, api, tmp_path
    ):
        data = ready_data(ben, team, tmp_path)
        run = run_begin(
            actor=ben, team=team, name="laptop", dataset_version=data, params={"lr": 0.1},
            tags={"sweep": "a"},
        )  # fmt: skip
        run_log_metrics(actor=ben, job=run.job, points=[("loss", 7, 2.5, None)])
        made = api.post(f"{V1}/models/{model.pk}/versions", {"run": run.pk, "notes": "Mine"}).json()
        folder = model_folder(inbox / "llama")

        answer = api.post(f"{V1}/imports", body())
        version = ModelVersion.objects.get()
        assert (answer.status_code, answer.json()["id"]) == (202, made["id"])
        assert (answer.json()["filled_by"], answer.json()["job"]) == (version.filled_by_id, run.pk)
        assert run_job(version.filled_by, tmp_path).state == "succeeded"

        row = api.get(made["url"]).json()
        assert (row["state"], row["number"], row["notes"]) == ("ready", 1, "Mine")
        assert (row["job"], row["job_kind"], row["metrics"]) == (run.pk, "external", {"loss": 2.5})
        assert row["digest"] == tree_digest(row["manifest"])
        for path in folder.iterdir():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            assert row["manifest"][path.name]["sha256"] == found
        version.refresh_from_db()
        assert (version.environment, version.code_version) == ({}, "")
        assert version.scans.get().verdict == "passed"
        self._explained(ben, version, run, data)

    def _explained(self, ben, version, run, data):
        found = version_provenance(version)
        assert found["run"]["params"] == {"lr": 0.1}
        assert found["dataset"]["digest"] == data.digest
        assert (found["job"]["id"], found["filled_by"]["id"]) == (run.pk, version.filled_by_id)
        assert found["recipe_digest"] is None
        assert {"run", "metrics", "files", "dataset"} <= {item["name"] for item in found["items"]}
        assert version_verify(version)["verdict"] == "equal"
        with blob_open(VersionRecord.objects.get(version=version).files["run.json"]["sha256"]) as f:
            kept = json.load(f)
        assert (kept["params"], kept["metrics"]) == ({"lr": 0.1}, {"loss": 2.5})
        assert (kept["tags"], kept["dataset"]["digest"]) == ({"sweep": "a"}, data.digest)
        graph = lineage_graph(actor=ben, node=f"model_version:{version.pk}")
        assert {f"job:{run.pk}", f"job:{version.filled_by_id}"} <= set(graph.nodes)
        # What the run says later belongs to the run, not to the version.
        run_log_metrics(actor=ben, job=run.job, points=[("loss", 8, 1.0, None)])
        run_end(actor=ben, run=run, state="failed")
        version.refresh_from_db()
        assert (version.state, version.metrics) == ("ready", {"loss": 2.5})

    def test_a_refused_import_leaves_it_waiting_and_another_may_fill_it(
        self, ben, waiting, inbox, api, tmp_path
    ):
        broken = model_folder(inbox / "broken")
        change_json(broken / "config.json", vocab_size=17)
        model_folder(inbox / "llama")

        api.post(f"{V1}/imports", body(path="broken"))
        waiting.refresh_from_db()
        assert run_job(waiting.filled_by, tmp_path / "1").state == "failed"
        waiting.refresh_from_db()
        assert (waiting.state, waiting.error, waiting.manifest) == ("pending", "", {})
        assert version_standing(waiting.pk)[:2] == ("failed", waiting.filled_by.reason)

        api.post(f"{V1}/imports", body())
        waiting.refresh_from_db()
        assert run_job(waiting.filled_by, tmp_path / "2").state == "succeeded"
        waiting.refresh_from_db()
        assert waiting.state == "ready"
        assert [scan.verdict for scan in waiting.scans.all()] == ["passed", "blocked"]

    def test_the_second_import_at_once_is_told_who_is_first(self, waiting, inbox, api):
        model_folder(inbox / "llama")

        first = api.post(f"{V1}/imports", body(), headers={"Idempotency-Key": "a"})
        again = api.post(f"{V1}/imports", body(), headers={"Idempotency-Key": "a"})
        other = api.post(f"{V1}/imports", body(), headers={"Idempotency-Key": "b"})

        assert first.json()["filled_by"] == again.json()["filled_by"]
        assert (again.status_code, other.status_code) == (202, 409)
        assert f"Job {first.json()['filled_by']}" in other.json()["detail"]
        assert other.json()["job"] == first.json()["filled_by"]

    def test_a_cancelled_import_frees_it(self, ben, waiting, inbox, api):
        model_folder(inbox / "llama")
        api.post(f"{V1}/imports", body())
        waiting.refresh_from_db()

        job_cancel(actor=ben, job=waiting.filled_by)

        assert api.post(f"{V1}/imports", body()).status_code == 202

    @pytest.mark.parametrize("end", ["failed", "canceled"])
    def test_a_run_that_fails_meanwhile_wins(self, ben, run, waiting, inbox, api, tmp_path, end):
        model_folder(inbox / "llama")
        api.post(f"{V1}/imports", body())
        waiting.refresh_from_db()

        run_end(actor=ben, run=run, state=end, reason="Out of memory")
        job = run_job(waiting.filled_by, tmp_path)

        assert job.state == "failed"
        assert "poet v1 is failed by now" in job.reason
        waiting.refresh_from_db()
        assert (waiting.state, waiting.manifest) == ("failed", {})

    def test_a_run_that_succeeds_leaves_it_waiting(self, ben, run, waiting):
        run_end(actor=ben, run=run, state="succeeded")

        waiting.refresh_from_db()
        assert waiting.state == "pending"

    def test_only_a_version_that_waits_takes_files(self, ben, waiting, model, inbox, api, tmp_path):
        model_folder(inbox / "llama")
        own = version_import(actor=ben, model=model, source=PathSource(path="llama"))
        on_the_way = api.post(f"{V1}/imports", body(version="v2"))
        run_job(own.produced_by, tmp_path)
        ready = api.post(f"{V1}/imports", body(version="v2"))
        missing = api.post(f"{V1}/imports", body(version="v9"))
        latest = api.post(f"{V1}/imports", body(version="latest"))

        assert (on_the_way.status_code, ready.status_code, latest.status_code) == (409, 409, 409)
        assert f"from job {own.produced_by_id}" in on_the_way.json()["detail"]
        assert "poet v2 does not wait for files: it is ready" in ready.json()["detail"]
        assert (missing.status_code, list(missing.json()["errors"])) == (422, ["version"])

    def test_others_may_not_fill_it(self, waiting, inbox, api_for, eve, cai):
        model_folder(inbox / "llama")

        assert api_for(eve).post(f"{V1}/imports", body()).status_code == 403
        assert api_for(cai).post(f"{V1}/imports", body()).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_many_at_the_same_time_one_fills_it(ben, waiting, model, inbox):
    model_folder(inbox / "llama")
    barrier, said = Barrier(4), []

    def fill():
        barrier.wait()
        try:
            said.append(version_import(
                actor=ben, model=model, version=waiting, source=PathSource(path="llama"),
            ).filled_by_id)  # fmt: skip
        except SlipwayError as error:
            said.append(type(error))
        finally:
            connections.close_all()

    threads = [Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    waiting.refresh_from_db()
    assert sorted(map(str, said)) == sorted(map(str, [waiting.filled_by_id, *[Conflict] * 3]))


class TestGivingUp:
    def test_it_fails_with_the_reason_and_keeps_its_number(self, model, run, waiting, api):
        url = f"{V1}/model-versions/{waiting.pk}/give-up"

        answer = api.post(url, {"reason": "The disk is gone"})
        again = api.post(url, {"reason": "Really"})
        another = api.post(f"{V1}/models/{model.pk}/versions", {"run": run.pk})

        assert (answer.status_code, answer.json()["state"]) == (200, "failed")
        assert answer.json()["error"] == "The disk is gone"
        assert (again.status_code, another.json()["number"]) == (409, 2)
        event = AuditEvent.objects.get(action="model_version.given_up")
        assert event.changes == {"reason": "The disk is gone"}

    def test_not_without_a_reason_nor_while_files_come(self, waiting, inbox, api, api_for, eve):
        model_folder(inbox / "llama")
        url = f"{V1}/model-versions/{waiting.pk}/give-up"

        assert api_for(eve).post(url, {"reason": "x"}).status_code == 403
        assert api.post(url, {"reason": " "}).status_code == 422
        api.post(f"{V1}/imports", body())
        answer = api.post(url, {"reason": "x"})
        assert (answer.status_code, "cancel it first" in answer.json()["detail"]) == (409, True)


class TestRegistering:
    def post(self, api, model, key="k", **body):
        headers = {"Idempotency-Key": key} if key else {}
        return api.post(f"{V1}/models/{model.pk}/versions", body, headers=headers)

    def test_a_repeated_key_gives_the_same_version(self, ben, model, run, api):
        first = self.post(api, model, run=run.pk, notes="One")
        run_end(actor=ben, run=run, state="canceled")
        again = self.post(api, model, run=run.pk, notes="One")

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["id"] == again.json()["id"]
        assert ModelVersion.objects.count() == 1

    def test_the_same_key_for_something_else_is_a_conflict(self, model, run, api):
        self.post(api, model, run=run.pk, notes="One")

        other = self.post(api, model, run=run.pk, notes="Two")

        assert other.status_code == 409
        assert (other.json()["field"], other.json()["version"]) == ("Idempotency-Key", 1)
        assert self.post(api, model, key="k2", run=run.pk, notes="Two").json()["number"] == 2
        assert self.post(api, model, key="", run=run.pk).json()["number"] == 3
        assert self.post(api, model, key="", run=run.pk).json()["number"] == 4

    def test_a_key_that_is_too_long_is_refused(self, model, run, api):
        answer = self.post(api, model, key="k" * 201, run=run.pk)

        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["Idempotency-Key"])

    def test_nothing_comes_of_a_run_that_failed(self, ben, model, run, api):
        run_end(actor=ben, run=run, state="failed")

        answer = self.post(api, model, run=run.pk)

        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["run"])
