"""Who may pause, and what cannot be paused or resumed."""

import pytest

from models_app.core.errors import NotFound, PermissionDenied, WrongState
from models_app.jobs.attempts import job_finish
from models_app.jobs.control import job_pause, job_resume, job_set_priority
from models_app.jobs.services import job_cancel
from tests.factories.jobs import claimed, submitted

pytestmark = pytest.mark.django_db


class TestJobPause:
    def test_refuses_viewers_and_outsiders(self, team, eve, cai):
        job = submitted(team)
        with pytest.raises(PermissionDenied):
            job_pause(actor=eve, job=job)
        with pytest.raises(NotFound):
            job_pause(actor=cai, job=job)

    def test_refuses_a_running_job_that_saves_no_checkpoints(self, team, ben, monkeypatch):
        from models_app.jobs.kind import job_kinds

        monkeypatch.setattr(type(job_kinds.get("self_test")), "pausable", False)
        with pytest.raises(WrongState, match="save no checkpoints"):
            job_pause(actor=ben, job=claimed(team))

    def test_refuses_what_has_ended(self, team, ben):
        job = claimed(team)
        job_finish(job=job, result={}, attempt={})
        for action in (job_pause, job_resume):
            with pytest.raises(WrongState, match="already ended"):
                action(actor=ben, job=job)
        with pytest.raises(WrongState, match="already ended"):
            job_set_priority(actor=ben, job=job, priority=1)

    def test_twice_is_as_once(self, team, ben):
        job = job_pause(actor=ben, job=submitted(team))

        assert job_pause(actor=ben, job=job).state == "paused"

    def test_a_paused_job_can_be_cancelled(self, team, ben):
        job = job_pause(actor=ben, job=submitted(team))

        assert job_cancel(actor=ben, job=job).state == "canceled"


class TestApi:
    def test_pauses_resumes_and_changes_the_priority(self, api_for, ben, team):
        job, api = submitted(team), api_for(ben)

        assert api.post(f"/api/v1/jobs/{job.pk}/pause").json()["state"] == "paused"
        assert api.post(f"/api/v1/jobs/{job.pk}/resume").json()["state"] == "pending"
        changed = api.post(f"/api/v1/jobs/{job.pk}/priority", {"priority": 7}, format="json")
        assert changed.json()["priority"] == 7

    def test_is_not_found_by_outsiders(self, api_for, cai, team):
        job, api = submitted(team), api_for(cai)

        for verb in ("pause", "resume", "priority"):
            response = api.post(f"/api/v1/jobs/{job.pk}/{verb}", {"priority": 1}, format="json")
            assert response.status_code == 404

    def test_says_why_a_job_waits(self, api_for, ben, team):
        job = submitted(team)

        answer = api_for(ben).get(f"/api/v1/jobs/{job.pk}/why").json()

        assert "No ready node" in answer["why"]
        assert answer["nodes"] == {}
