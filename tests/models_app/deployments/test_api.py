"""The API of deployments."""

import pytest

from models_app.core.clock import now
from models_app.deployments.models import RequestRecord
from models_app.jobs.models import Job
from tests.factories.deployments import (
    call_of,
    deployment_of,
    environment,
    live,
    ready_version,
    revision_of,
    serving,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


class TestCreate:
    def test_deployment_and_revision(self, ana, team, api_for):
        environment("development")
        client = api_for(ana)
        answer = client.post(
            "/api/v1/deployments",
            {"team": "research", "name": "writer", "environment": "development"},
        )
        assert answer.status_code == 201
        assert answer.json()["model"] == "research/writer"
        assert answer.json()["status"] == "out_of_service"

        url = answer.headers["Location"]
        version = ready_version(team)
        revision = client.post(
            f"{url}/revisions", {"model_version": version.pk, "spec": {"replicas": 2}}
        )
        assert revision.status_code == 201
        assert revision.json()["state"] == "rolling_out"
        assert revision.json()["spec"]["replicas"] == 2
        assert client.get(revision.headers["Location"]).json()["number"] == 1
        assert client.get(url).json()["status"] == "creating"

    def test_a_token_that_may_only_deploy_can(self, ana, team, api_for):
        deployment = deployment_of(ana, team)
        version = ready_version(team)
        answer = api_for(ana, "read", "deploy").post(
            f"/api/v1/deployments/{deployment.pk}/revisions", {"model_version": version.pk}
        )
        assert answer.status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"team": "legal", "name": "a", "environment": "development"}, "team"),
            ({"team": "research", "name": "A B", "environment": "development"}, "name"),
            ({"team": "research", "name": "a", "environment": "moon"}, "environment"),
            ({"team": "research", "name": "a"}, "environment"),
            ({"team": "research", "name": "a", "environment": "staging", "x": 1}, "x"),
        ],
    )
    def test_bad_input_is_named(self, ana, other_team, api_for, body, field):
        for name in ("development", "staging"):
            environment(name)
        answer = api_for(ana).post("/api/v1/deployments", body)
        assert answer.status_code == 422
        assert field in answer.json()["errors"]

    def test_the_same_name_twice(self, ana, team, api_for):
        deployment_of(ana, team)
        body = {"team": "research", "name": "writer", "environment": "development"}
        answer = api_for(ana).post("/api/v1/deployments", body)
        assert "name" in answer.json()["errors"]

    def test_a_version_of_another_team_does_not_exist(self, ana, team, other_team, api_for):
        deployment = deployment_of(ana, team)
        foreign = ready_version(other_team)
        answers = [
            api_for(ana).post(
                f"/api/v1/deployments/{deployment.pk}/revisions", {"model_version": pk}
            )
            for pk in (foreign.pk, 10**12, 10**30, -1)
        ]
        assert {answer.status_code for answer in answers} == {422}
        assert len({answer.json()["errors"]["model_version"][0] for answer in answers}) == 1


class TestMoves:
    def test_roll_back_and_forward(self, ana, deployment, api_for):
        revision_of(ana, deployment)
        settle(deployment)
        url = f"/api/v1/deployments/{deployment.pk}"

        answer = api_for(ana).post(f"{url}/rollback", {"reason": "worse"})

        assert answer.status_code == 202
        assert (answer.json()["number"], answer.json()["state"]) == (1, "active")
        answer = api_for(ana).post(f"{url}/rollback", {"to": 2})
        assert answer.json()["state"] == "active"
        assert api_for(ana).post(f"{url}/rollback", {"to": 9}).status_code == 422

    def test_abort_and_roll_out(self, ana, deployment, api_for):
        client, url = api_for(ana), f"/api/v1/deployments/{deployment.pk}"
        assert client.post(f"{url}/rollouts/abort", {}).status_code == 404
        revision_of(ana, deployment)
        answer = client.post(f"{url}/rollouts/abort", {"reason": "no"})
        assert answer.json()["state"] == "withdrawn"
        assert client.post(f"{url}/rollouts", {"revision": 2}).status_code == 409

    def test_scale_stop_start(self, ana, deployment, api_for):
        client, url = api_for(ana), f"/api/v1/deployments/{deployment.pk}"
        assert client.post(f"{url}/scale", {"replicas": 2}).json()["replicas"] == 2
        assert client.post(f"{url}/scale", {"replicas": 0}).status_code == 422
        assert client.post(f"{url}/stop", {"reason": "night"}).json()["status"] == "out_of_service"
        assert client.post(f"{url}/stop", {}).status_code == 409
        assert client.post(f"{url}/start").status_code == 202

    def test_viewers_may_not(self, eve, deployment, api_for):
        url = f"/api/v1/deployments/{deployment.pk}"
        for path in ("rollback", "stop", "start"):
            assert api_for(eve).post(f"{url}/{path}", {}).status_code == 403
        assert api_for(eve).get(url).status_code == 200

    def test_a_reading_token_may_not(self, ana, deployment, api_for):
        url = f"/api/v1/deployments/{deployment.pk}/stop"
        assert api_for(ana, "read").post(url, {}).status_code == 403


class TestReads:
    def test_lists(self, ana, deployment, api_for):
        url = f"/api/v1/deployments/{deployment.pk}"
        client = api_for(ana)
        RequestRecord.objects.create(
            request_id="req_1", at=now(), deployment=deployment, endpoint="chat/completions",
            status=200, total_ms=12.5, completion_tokens=7,
        )  # fmt: skip
        assert [r["name"] for r in client.get("/api/v1/deployments").json()["results"]] == [
            "writer"
        ]
        assert client.get("/api/v1/deployments", {"name": "x"}).json()["results"] == []
        (replica,) = client.get(f"{url}/replicas").json()["results"]
        assert replica["job"] == Job.objects.get().pk
        assert replica["state"] == "ready"
        assert replica["id"] == live(deployment)[0].pk
        assert client.get(f"{url}/revisions").json()["results"][0]["state"] == "active"
        assert client.get(f"{url}/requests").json()["results"][0]["completion_tokens"] == 7
        assert client.get(url).json()["active_revision"]["number"] == 1

    def test_a_plan_changes_nothing(self, ana, deployment, api_for):
        version = ready_version(deployment.team, text="x" * 4096)
        answer = api_for(ana).post(
            f"/api/v1/deployments/{deployment.pk}/plan",
            {"model_version": version.pk, "spec": {"replicas": 3}},
        )
        assert answer.status_code == 200
        assert answer.json()["replicas_to_start"] == 3
        assert answer.json()["approvals_needed"] == 0
        assert answer.json()["memory_total_bytes"] > 3 * 400 * 2**20
        assert deployment.revisions.count() == 1

    def test_description_can_be_changed(self, ana, deployment, api_for):
        url = f"/api/v1/deployments/{deployment.pk}"
        answer = api_for(ana).patch(url, {"description": "Writes verse"})
        assert answer.json()["description"] == "Writes verse"
        assert api_for(ana).patch(url, {"name": "other"}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""),
        ("patch", ""),
        ("get", "/revisions"),
        ("post", "/revisions"),
        ("get", "/revisions/1"),
        ("get", "/replicas"),
        ("get", "/requests"),
        ("post", "/plan"),
        ("post", "/rollouts"),
        ("get", "/rollouts"),
        ("post", "/rollouts/abort"),
        ("post", "/rollouts/pause"),
        ("post", "/rollouts/resume"),
        ("post", "/rollouts/promote"),
        ("post", "/rollback/force"),
        ("get", "/revisions/1/golden"),
        ("post", "/rollback"),
        ("post", "/scale"),
        ("post", "/stop"),
        ("post", "/start"),
    ],
)
def test_outsiders_get_404(cai, deployment, api_for, method, path):
    client = api_for(cai)
    answer = getattr(client, method)(f"/api/v1/deployments/{deployment.pk}{path}", {})
    assert answer.status_code == 404
    assert client.get("/api/v1/deployments").json()["results"] == []


class TestRequestLog:
    def log(self, client, deployment, **query):
        return client.get(f"/api/v1/deployments/{deployment.pk}/requests", query)

    def test_gives_every_part_of_a_call(self, ana, deployment, api_for):
        call_of(
            deployment, user=ana, replica=live(deployment)[0], rule="german", adapter="polite",
            degraded="ngram", cache="miss", cached_tokens=4, gateway_wait_ms=9, wake_ms=2,
            queue_ms=3, prefill_ms=4, resumes=1, detail="replica 7: 503", node="node-1",
        )  # fmt: skip

        row = self.log(api_for(ana), deployment).json()["results"][0]

        assert (row["model"], row["rule"], row["adapter"]) == (
            "research/writer",
            "german",
            "polite",
        )
        assert (row["degraded"], row["cache"], row["cached_tokens"]) == ("ngram", "miss", 4)
        assert (row["gateway_wait_ms"], row["wake_ms"]) == (9, 2)
        assert (row["queue_ms"], row["prefill_ms"]) == (3, 4)
        assert (row["resumes"], row["mirrored"], row["detail"]) == (1, False, "replica 7: 503")
        assert (row["revision"], row["node"], row["user"]) == (1, "node-1", ana.email)

    def test_every_filter_given_applies(self, ana, deployment, api_for):
        call_of(deployment, "req-a", status=502, outcome="replica_lost", total_ms=900)
        call_of(deployment, "req-b", status=502, outcome="replica_lost", total_ms=10)

        answer = self.log(api_for(ana), deployment, outcome="failed", slower_ms="500", page_size=5)

        assert [row["request_id"] for row in answer.json()["results"]] == ["req-a"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("status", "abc"), ("revision", "0"), ("replica", "9" * 30), ("cache", "warm"),
            ("since", "yesterday"), ("since", "2026-01-01T00:00:00"), ("user", "\0"),
            ("slower_ms", "-1"), ("slower_ms", "nan"), ("degraded", "perhaps"), ("colour", "red"),
        ],
    )  # fmt: skip
    def test_what_no_filter_is_gets_named(self, ana, deployment, api_for, name, value):
        answer = self.log(api_for(ana), deployment, **{name: value})
        assert answer.status_code == 422
        assert name in answer.json()["errors"]
