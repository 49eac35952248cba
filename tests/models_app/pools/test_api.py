"""The API of nodes and pools."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.jobs.models import Job
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


class TestNodes:
    def test_are_moved_by_platform_admins(self, api_for, root):
        ready_node("n1")
        api = api_for(root)

        def post(verb, **body):
            return api.post(f"/api/v1/nodes/n1/{verb}", body, format="json")

        assert post("cordon", reason="disk").json()["state"] == "cordoned"
        assert post("uncordon").json()["state"] == "ready"
        assert post("drain", deadline_s=60, remove=True).json()["remove_when_empty"] is True
        assert post("uncordon").json()["drain_deadline_at"] is None
        assert post("quarantine", reason="smoke").json()["state_reason"] == "By hand: smoke"
        labels = api.patch("/api/v1/nodes/n1", {"labels": {"zone": "a"}}, format="json")
        assert labels.json()["labels"] == {"zone": "a"}
        assert api.delete("/api/v1/nodes/n1").status_code == 204
        assert api.get("/api/v1/nodes/n1").status_code == 404

    def test_let_held_jobs_go(self, api_for, root, team):
        ready_node("node-1")
        later = now() + dt.timedelta(minutes=5)
        Job.objects.filter(pk=claimed(team).pk).update(
            state="pending", lease_until=None, hold_until=later, run_after=later
        )

        assert api_for(root).post("/api/v1/nodes/node-1/release-jobs").json() == {"jobs": 1}
        assert not Job.objects.filter(hold_until__isnull=False).exists()

    def test_are_hidden_from_everybody_else(self, api_for, ana):
        ready_node("n1")
        api = api_for(ana)

        assert api.get("/api/v1/nodes").status_code == 403
        assert api.post("/api/v1/nodes/n1/release-jobs").status_code == 403
        assert api.post("/api/v1/nodes/n1/drain", {}, format="json").status_code == 403

    @pytest.mark.parametrize(
        ("verb", "body"),
        [("drain", {"deadline_s": "soon"}), ("drain", {"when": 1}), ("quarantine", {})],
    )
    def test_bad_input_names_the_field(self, api_for, root, verb, body):
        ready_node("n1")

        response = api_for(root).post(f"/api/v1/nodes/n1/{verb}", body, format="json")

        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/problem+json"


class TestPools:
    def test_are_made_changed_and_deleted(self, api_for, root, team):
        ready_node("n1", labels={"zone": "a"})
        api = api_for(root)
        body = {"name": "east", "selector": {"zone": "a"}, "slots": 2, "teams": [team.slug]}

        made = api.post("/api/v1/pools", body, format="json")
        assert made.status_code == 201, made.json()
        assert made.json()["nodes"] == ["n1"]
        changed = api.patch("/api/v1/pools/east", {"slots": None, "gpus": 3}, format="json")
        assert changed.json()["limits"] == {
            "slots": None, "cpus": None, "memory_mib": None, "disk_mib": None, "gpus": 3,
        }  # fmt: skip
        assert api.delete("/api/v1/pools/east").status_code == 204

    def test_show_what_is_taken_to_their_teams(self, api_for, ben, team):
        submitted(team)

        rows = api_for(ben).get("/api/v1/pools").json()

        assert [row["name"] for row in rows] == ["default"]
        assert rows[0]["used"]["slots"] == 0

    def test_are_not_changed_by_teams(self, api_for, ana, team):
        submitted(team)

        response = api_for(ana).patch("/api/v1/pools/default", {"slots": 1}, format="json")

        assert response.status_code == 403
