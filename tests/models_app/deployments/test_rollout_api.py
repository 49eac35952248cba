"""Roll-outs by the API: their course, steering, the plan before them, golden answers."""

import pytest

from models_app.deployments.models import Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services.golden import golden_store
from tests.factories.deployments import deployment_of, ready_version, revision_of, serving
from tests.factories.nodes import ready_node
from tests.factories.rollouts import arms, calls, start, start_placed

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


def url(deployment, path=""):
    return f"/api/v1/deployments/{deployment.pk}{path}"


@pytest.fixture
def canary(ana, deployment):
    revision_of(ana, deployment, strategy="canary", bake_s=600)
    reconcile_deployment(deployment.pk)
    start(deployment)
    return deployment


class TestCourse:
    def test_says_where_it_stands_and_what_happened(self, ana, canary, api_for):
        row = api_for(ana).get(url(canary, "/rollouts")).json()["results"][0]

        assert (row["state"], row["strategy"], row["percent"]) == ("running", "canary", 10)
        assert [step["kind"] for step in row["plan"]] == ["canary", "finish"]
        texts = [event["text"] for event in row["events"]]
        assert "10 % of the requests go to the new revision." in texts

    def test_why_it_went_back(self, ana, canary, api_for):
        calls(canary, 1, 20)
        calls(canary, 2, 20, failed=10)
        reconcile_deployment(canary.pk)

        row = api_for(ana).get(url(canary, "/rollouts")).json()["results"][0]

        assert row["state"] == "rolled_back"
        said = next(e["text"] for e in row["events"] if e["kind"] == "bad_figures")
        assert "New: 20 requests, 50 % failed" in said
        assert "Old: 20 requests, 0 % failed" in said

    def test_is_steered(self, ana, canary, api_for):
        client = api_for(ana)
        answer = client.post(url(canary, "/rollouts/pause"), {"reason": "lunch"})
        assert (answer.status_code, answer.json()["state"]) == (200, "paused")
        assert client.post(url(canary, "/rollouts/promote"), {}).status_code == 409
        assert client.post(url(canary, "/rollouts/resume"), {}).json()["state"] == "running"
        assert client.post(url(canary, "/rollouts/promote"), {}).json()["step"] == 1
        reconcile_deployment(canary.pk)
        assert arms(canary) == {2: (100, 1)}
        assert client.post(url(canary, "/rollouts/pause"), {}).status_code == 409

    def test_readers_may_look_and_not_steer(self, eve, canary, api_for):
        client = api_for(eve)
        assert client.get(url(canary, "/rollouts")).status_code == 200
        for what in ("pause", "resume", "promote", "abort"):
            assert client.post(url(canary, f"/rollouts/{what}"), {}).status_code == 403
        force = {"to": 1, "reason": "x"}
        assert client.post(url(canary, "/rollback/force"), force).status_code == 403


class TestGolden:
    def test_are_listed(self, ana, deployment, api_for):
        golden_store(revision_id=deployment.active_revision_id, answers=[("a", "b", [1, 2])])
        (row,) = api_for(ana).get(url(deployment, "/revisions/1/golden")).json()["results"]
        assert (row["prompt"], row["text"], row["tokens"]) == ("a", "b", [1, 2])

    def test_force_needs_a_refused_way_back(self, ana, deployment, api_for):
        answer = api_for(ana).post(url(deployment, "/rollback/force"), {"to": 1, "reason": "x"})
        assert answer.status_code == 409
        wrong = api_for(ana).post(url(deployment, "/rollback/force"), {"to": 1})
        assert "reason" in wrong.json()["errors"]


class TestPlan:
    def plan(self, client, deployment, **spec):
        version = ready_version(deployment.team, text=f"plan {spec}")
        body = {"model_version": version.pk, "spec": spec}
        answer = client.post(url(deployment, "/plan"), body)
        assert answer.status_code == 200
        return answer.json()

    @pytest.fixture
    def placed(self, ana, team):
        """One replica by real placement on a node; returns the node to change."""
        node = ready_node("node-1", slots=1)
        made = serving_placed(ana, team)
        return made, node

    def test_with_room(self, ana, placed, api_for):
        deployment, _ = placed
        ready_node("node-2", slots=4)
        plan = self.plan(api_for(ana), deployment)
        assert (plan["room"], plan["downtime_seconds"]) == ("surge", 0)
        assert [step["kind"] for step in plan["steps"]] == ["finish"]
        assert Rollout.objects.count() == 1

    def test_on_a_full_pool_it_drains_first_and_says_for_how_long(self, ana, placed, api_for):
        deployment, _ = placed
        plan = self.plan(api_for(ana), deployment, strategy="canary", queue_wait_s=1)
        assert (plan["room"], plan["places_free"], plan["replicas_serving"]) == (
            "drain_first",
            0,
            1,
        )
        assert plan["downtime_seconds"] > 4
        assert "requests of that time are held" in plan["downtime_text"]
        assert len(plan["warnings"]) == 2  # nothing to compare, and a wait that is too short

    def test_too_large_for_the_pool(self, ana, placed, api_for):
        deployment, _ = placed
        plan = self.plan(api_for(ana), deployment, replicas=3)
        assert plan["room"] == "short"
        assert plan["downtime_seconds"] == 0
        assert any("Add a node" in said for said in plan["warnings"])

    def test_every_strategy_says_its_steps(self, ana, placed, api_for):
        deployment, _ = placed
        ready_node("node-2", slots=8)
        for strategy, count in {
            "blue_green": 1, "rolling": 3, "all_at_once": 1, "canary": 2, "linear": 4, "shadow": 2,
        }.items():  # fmt: skip
            plan = self.plan(api_for(ana), deployment, strategy=strategy, replicas=3)
            texts = [step["text"] for step in plan["steps"]]
            assert len(texts) == count
            assert all(texts)


def serving_placed(ana, team):

    deployment = deployment_of(ana, team)
    revision_of(ana, deployment)
    reconcile_deployment(deployment.pk)
    start_placed(deployment)
    return deployment
