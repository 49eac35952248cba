"""The API of models, versions, trainings and evaluations, as programs use it."""

import hashlib

import pytest

from models_app.jobs.models import Job
from models_app.registry.models import ModelVersion
from tests.factories.deployments import serving
from tests.factories.jobs import submitted
from tests.factories.nodes import pool_of, ready_node
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


class TestModels:
    def test_are_made_listed_and_described(self, ben, team, api_for):
        api = api_for(ben)

        made = api.post(f"{V1}/models", {"team": "research", "name": "poet"})
        told = api.patch(made["Location"], {"description": "Writes verse."})
        listed = api.get(f"{V1}/models?team=research&name=po").json()["results"]

        assert made.status_code == 201
        assert told.json()["description"] == "Writes verse."
        assert [row["name"] for row in listed] == ["poet"]

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ({"team": "research", "name": "Bad Name"}, 422, "name"),
            ({"team": "legal", "name": "poet"}, 422, "team"),
            ({"team": "research"}, 422, "name"),
            ({"team": "research", "name": "a", "nmae": 1}, 422, "nmae"),
            ([], 422, "body"),
        ],
    )
    def test_refuse_bad_input(self, ben, other_team, api_for, body, status, field):
        answer = api_for(ben).post(f"{V1}/models", body)

        assert answer.status_code == status
        assert field in answer.json()["errors"]

    def test_names_are_taken_once(self, ben, model, api_for):
        answer = api_for(ben).post(f"{V1}/models", {"team": "research", "name": "poet"})

        assert answer.status_code == 409

    def test_viewers_may_not_make_them(self, eve, team, api_for):
        answer = api_for(eve).post(f"{V1}/models", {"team": "research", "name": "poet"})

        assert answer.status_code == 403


class TestTrainings:
    def test_start_and_answer_the_same_for_a_repeated_key(self, ben, model, data, api_for):
        api = api_for(ben)
        body = {"team": "research", "model": "poet", "dataset_version": data.pk, "config": TINY,
                "reason": "First try"}  # fmt: skip

        first = api.post(f"{V1}/training-runs", body, headers={"Idempotency-Key": "k1"})
        again = api.post(f"{V1}/training-runs", body, headers={"Idempotency-Key": "k1"})

        assert first.status_code == again.status_code == 202
        assert first.json()["id"] == again.json()["id"]
        assert first["Location"] == f"{V1}/model-versions/{first.json()['id']}"
        assert first.json()["state"] == "pending"
        assert Job.objects.filter(kind="train").count() == 1

    def test_a_key_of_another_kind_of_job_makes_nothing(self, ben, team, model, data, api_for):
        earlier = submitted(team, idempotency_key="k1")
        body = {"team": "research", "model": "poet", "dataset_version": data.pk, "config": TINY}

        answer = api_for(ben).post(f"{V1}/training-runs", body, headers={"Idempotency-Key": "k1"})

        assert (answer.status_code, answer.json()["job"]) == (409, earlier.pk)
        assert not model.versions.exists()

    def test_run_where_they_are_told(self, ben, model, data, api_for):
        pool_of("fast", selector={"zone": "a"})
        ready_node("n1", labels={"zone": "a", "disk": "ssd"})
        body = {"team": "research", "model": "poet", "dataset_version": data.pk, "config": TINY,
                "pool": "fast", "priority": 7,
                "resources": {"cpus": 2, "node_selector": {"disk": "ssd"}}}  # fmt: skip
        api = api_for(ben)

        made = api.post(f"{V1}/training-runs", body, format="json").json()
        job = Job.objects.get(kind="train")
        assert (job.pool.name, job.priority, job.cpus) == ("fast", 7, 2)
        ModelVersion.objects.filter(pk=made["id"]).update(state="ready")
        api.post(f"{V1}/model-versions/{made['id']}/train-again", {}, format="json")
        again = Job.objects.filter(kind="train").latest("pk")
        assert (again.pk != job.pk, again.pool.name) == (True, "fast")
        assert again.node_selector == {"disk": "ssd"}

    def test_name_the_field_of_what_no_node_has(self, ben, model, data, api_for):
        ready_node("n1")
        body = {"team": "research", "model": "poet", "dataset_version": data.pk, "config": TINY,
                "resources": {"cpus": 99}}  # fmt: skip

        answer = api_for(ben).post(f"{V1}/training-runs", body, format="json")

        assert answer.status_code == 422
        assert set(answer.json()["errors"]) == {"resources.cpus"}
        assert not ModelVersion.objects.exists()

    def test_name_every_bad_field(self, ben, model, data, api_for):
        config = {**TINY, "warmup_steps": 99, "batch_size": 0}

        answer = api_for(ben).post(
            f"{V1}/training-runs",
            {"team": "research", "model": "poet", "dataset_version": data.pk, "config": config},
        )

        assert answer.status_code == 422
        assert set(answer.json()["errors"]) == {"config.batch_size"}
        assert not ModelVersion.objects.exists()

    def test_hide_what_others_own(self, cai, model, data, api_for, other_team):
        body = {"team": "legal", "model": model.pk, "dataset_version": data.pk, "config": TINY}

        answer = api_for(cai).post(f"{V1}/training-runs", body)

        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == ["model"]

    def test_are_estimated_beforehand(self, ben, data, api_for):
        body = {"team": "research", "dataset_version": data.pk, "config": TINY}

        plan = api_for(ben).post(f"{V1}/training-runs/estimate", body).json()

        assert plan["tokens_seen"] == 6 * 4 * 16
        assert plan["parameters"] > 500_000
        assert plan["memory_bytes"] == sum(plan["memory"].values())

    def test_run_again_with_changes(self, ben, version, api_for):
        url = f"{V1}/model-versions/{version.pk}/train-again"

        answer = api_for(ben).post(url, {"changes": {"seed": 9}})

        assert answer.status_code == 202
        assert (answer.json()["number"], answer.json()["seed"]) == (2, 9)


class TestVersions:
    def test_provenance_can_be_followed(self, ben, version, evaluated, api_for):
        evaluated(version)
        api = api_for(ben)

        found = api.get(f"{V1}/model-versions/{version.pk}/provenance").json()

        data, config, job = found["dataset"], found["config"], found["job"]
        assert api.get(data["url"]).json()["digest"] == data["digest"]
        assert api.get(config["url"]).json()["digest"] == config["digest"]
        assert config["spec"]["steps"] == 6
        assert data["source"]["files"][0]["sha256"]
        assert api.get(job["url"]).json()["id"] == job["id"]
        assert job["attempts"][0]["epoch"] == 1
        assert api.get(found["evaluations"][0]["url"]).status_code == 200
        assert found["seed"] == 1337
        assert found["code_version"]
        assert found["environment"]["packages"]
        log = b"".join(api.get(found["log"]["url"]).streaming_content)
        assert hashlib.sha256(log).hexdigest() == found["log"]["sha256"]

    def test_files_are_what_the_manifest_says(self, ben, version, api_for):
        api = api_for(ben)

        for path, entry in version.manifest.items():
            answer = api.get(f"{V1}/model-versions/{version.pk}/files/{path}")
            body = b"".join(answer.streaming_content)
            assert hashlib.sha256(body).hexdigest() == entry["sha256"]
        missing = api.get(f"{V1}/model-versions/{version.pk}/files/../../etc/passwd")
        assert missing.status_code == 404

    def test_compare_shows_settings_figures_and_paired_scores(
        self, ben, trained, evaluated, api_for
    ):
        first, second = trained(), trained(seed=2, learning_rate=2e-3)
        evaluated(first)
        evaluated(second)

        answer = api_for(ben).get(f"{V1}/model-versions/compare?a={first.pk}&b={second.pk}").json()

        assert {row["path"] for row in answer["config"]} == {"seed", "learning_rate"}
        pair = answer["evaluations"][0]
        assert pair["documents"] == pair["better"] + pair["worse"] == 6
        assert pair["difference"] == pytest.approx(
            pair["second_bits_per_byte"] - pair["first_bits_per_byte"]
        )
        assert pair["margin"] > 0

    def test_quarantine_needs_an_admin_and_a_reason(self, ana, ben, version, api_for):
        url = f"{V1}/model-versions/{version.pk}/quarantine"

        assert api_for(ben).post(url, {"reason": "Leaks"}).status_code == 403
        assert api_for(ana).post(url, {"reason": " "}).status_code == 422
        assert api_for(ana).post(url, {"reason": "Leaks"}).json()["state"] == "quarantined"
        assert api_for(ana).post(url, {"reason": "Leaks"}).status_code == 409


class TestQuarantineOfWhatServes:
    @pytest.fixture
    def deployment(self, ana, team):
        return serving(ana, team)

    @pytest.fixture
    def url(self, deployment):
        return f"{V1}/model-versions/{deployment.active_revision.model_version_id}/quarantine"

    def test_is_refused_with_the_list(self, ana, deployment, url, api_for):
        answer = api_for(ana).post(url, {"reason": "Leaks"})

        assert answer.status_code == 409
        body = answer.json()
        assert body["code"] == "wrong_state"
        assert "writer (development)" in body["detail"]
        assert "stop_serving" in body["detail"]
        assert body["uses"] == [
            {
                "kind": "deployment",
                "id": deployment.pk,
                "name": "writer",
                "environment": "development",
                "state": "active",
            }
        ]

    def test_stops_it_when_asked_to(self, ana, deployment, url, api_for):
        api = api_for(ana)

        answer = api.post(url, {"reason": "Leaks", "stop_serving": True})

        assert (answer.status_code, answer.json()["state"]) == (200, "quarantined")
        shown = api.get(f"{V1}/deployments/{deployment.pk}").json()
        assert shown["status"] == "out_of_service"
        assert shown["stopped_at"]

    def test_needs_a_token_that_may_stop_it(self, ana, url, api_for):
        answer = api_for(ana, "read", "write").post(url, {"reason": "x", "stop_serving": True})

        assert answer.status_code == 403
        assert answer.json()["permission"] == "deployments.change_deployment"


class TestEvaluations:
    def test_are_started_listed_and_read(self, ben, version, data, api_for, tmp_path):
        api = api_for(ben)

        answer = api.post(f"{V1}/evaluations", {"version": version.pk, "dataset_version": data.pk})
        run_job(Job.objects.get(pk=answer.json()["job"]), tmp_path)
        listed = api.get(f"{V1}/evaluations?version={version.pk}").json()["results"]
        scores = api.get(f"{V1}/evaluations/{listed[0]['id']}/scores?limit=2").json()["rows"]

        assert answer.status_code == 202
        assert listed[0]["metrics"]["documents"] == 6
        assert set(scores[0]) == {"document", "tokens", "bytes", "nats"}
        assert len(scores) == 2


class TestOutsiders:
    def test_find_nothing(self, cai, version, evaluated, api_for):
        evaluation = evaluated(version)
        api, pk = api_for(cai), version.pk
        urls = [
            f"/models/{version.model_id}", f"/models/{version.model_id}/versions",
            f"/model-versions/{pk}", f"/model-versions/{pk}/provenance",
            f"/model-versions/{pk}/files/config.json", f"/model-versions/compare?a={pk}&b={pk}",
            f"/evaluations/{evaluation.pk}", f"/evaluations/{evaluation.pk}/scores",
            f"/config-revisions/{version.config_revision_id}",
            f"/configs/{version.config_revision.config_id}",
            f"/dataset-versions/{version.dataset_version_id}",
        ]  # fmt: skip

        assert [api.get(V1 + url).status_code for url in urls] == [404] * len(urls)
        assert api.post(f"{V1}/model-versions/{pk}/train-again", {}).status_code == 404
        assert api.post(f"{V1}/model-versions/{pk}/quarantine", {"reason": "x"}).status_code == 404
        for name in ("models", "model-versions", "evaluations", "configs"):
            assert api.get(f"{V1}/{name}").json()["results"] == []
