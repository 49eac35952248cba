"""Runs whose work is done elsewhere: begun, reported and ended through the API, never placed."""

import pytest

from models_app.core.errors import WrongState
from models_app.jobs.elsewhere import LEASE
from models_app.jobs.metrics import metric_latest, metric_series
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.recovery import recover_expired
from models_app.jobs.services import job_cancel
from models_app.registry.models import TrainingRun
from models_app.registry.services import run_begin, run_end, run_log_metrics
from tests.factories.deployments import ready_version
from tests.factories.jobs import expire
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def run(ben, team):
    return run_begin(actor=ben, team=team, name="my script", params={"learning_rate": 0.1})


class TestApi:
    def test_a_run_from_begin_to_end(self, ben, team, api_for):
        api = api_for(ben)
        model = ready_version(team).model
        body = {"team": "research", "name": "my script", "model": "poet",
                "params": {"optimizer": {"name": "adamw", "lr": 1e-3}, "fast": True},
                "tags": {"owner": "a"}}  # fmt: skip

        made = api.post(f"{V1}/training-runs/external", body, format="json")
        url = made["Location"]
        points = [{"name": "loss", "step": n, "value": 3.0 - n, "at": "2026-11-01T00:00:00Z"}
                  for n in range(3)]  # fmt: skip
        logged = api.post(f"{url}/metrics", {"points": points}, format="json")
        more = api.post(f"{url}/params", {"params": {"seed": 7}}, format="json")
        other = api.post(f"{url}/params", {"params": {"seed": 8}}, format="json")
        ended = api.post(f"{url}/end", {"state": "succeeded"}, format="json")
        late = api.post(f"{url}/metrics", {"points": points}, format="json")

        assert made.status_code == 201
        assert (logged.status_code, more.status_code, other.status_code) == (204, 204, 409)
        assert (ended.status_code, late.status_code) == (200, 409)
        row = api.get(url).json()
        assert row["params"] == {
            "optimizer.name": "adamw", "optimizer.lr": 0.001, "fast": "true", "seed": 7,
        }  # fmt: skip
        assert (row["metrics"], row["tags"]) == ({"loss": 1.0}, {"owner": "a"})
        assert (row["model"], row["state"], row["kind"]) == (model.name, "succeeded", "external")

    def test_a_repeated_key_gives_the_same_run(self, ben, team, api_for):
        api, body = api_for(ben), {"team": "research", "name": "x"}

        answers = [
            api.post(
                f"{V1}/training-runs/external",
                body,
                format="json",
                headers={"Idempotency-Key": "k"},
            )
            for _ in range(2)
        ]

        assert answers[0].json()["id"] == answers[1].json()["id"]
        assert TrainingRun.objects.count() == 1

    @pytest.mark.parametrize(
        ("point", "said"),
        [
            ({"name": "", "step": 1, "value": 1}, "name"),
            ({"name": "x" * 251, "step": 1, "value": 1}, "name"),
            ({"name": "a", "step": -1, "value": 1}, "step"),
            ({"name": "a", "step": 1.5, "value": 1}, "step"),
            ({"name": "a", "step": 1, "value": "1"}, "value"),
            ({"name": "a", "step": 1, "value": True}, "value"),
            ({"name": "a", "step": 1, "value": 1, "at": "soon"}, "time"),
            ({"name": "a", "step": 1, "value": 1, "epoch": 1}, "nothing else"),
            ([], "nothing else"),
        ],
    )
    def test_a_bad_point_is_named_and_none_is_kept(self, ben, run, api_for, point, said):
        good = {"name": "loss", "step": 1, "value": 1.0}

        answer = api_for(ben).post(
            f"{V1}/training-runs/{run.pk}/metrics", {"points": [good, point]}, format="json"
        )

        assert answer.status_code == 422
        assert said in answer.json()["errors"]["points.1"][0]
        assert metric_latest(job=run.job) == {}

    def test_too_many_points_and_foreign_runs_are_refused(self, ben, eve, cai, run, api_for):
        url = f"{V1}/training-runs/{run.pk}/metrics"
        point = {"name": "loss", "step": 1, "value": 1.0}

        assert api_for(ben).post(url, {"points": [point] * 1001}, format="json").status_code == 422
        assert api_for(eve).post(url, {"points": [point]}, format="json").status_code == 403
        assert api_for(cai).post(url, {"points": [point]}, format="json").status_code == 404
        assert api_for(cai).get(f"{V1}/training-runs/{run.pk}").status_code == 404

    def test_a_model_of_another_team_is_not_there(self, ben, other_team, api_for):
        hidden = ready_version(other_team, name="secret").model
        for key in ("secret", hidden.pk):
            answer = api_for(ben).post(
                f"{V1}/training-runs/external",
                {"team": "research", "name": "x", "model": key}, format="json",
            )  # fmt: skip
            assert (answer.status_code, list(answer.json()["errors"])) == (422, ["model"])
        assert not Job.objects.exists()


class TestLife:
    def test_no_node_ever_takes_it(self, run):
        ready_node("n1")
        place_jobs()

        run.job.refresh_from_db()
        assert (run.job.state, run.job.node_name) == ("running", "")

    def test_steps_may_come_out_of_order(self, ben, run):
        for step, value in ((5, 1.0), (3, 2.0), (5, 0.5)):
            run_log_metrics(actor=ben, job=run.job, points=[("loss", step, value, None)])

        assert metric_series(job=run.job, name="loss") == [(3, 2.0), (5, 0.5)]
        assert metric_latest(job=run.job) == {"loss": (5, 0.5)}

    def test_reports_renew_its_lease(self, ben, run):
        Job.objects.filter(pk=run.pk).update(lease_until=run.job.lease_until - LEASE / 2)
        run.job.refresh_from_db()
        before = run.job.lease_until

        run_log_metrics(actor=ben, job=run.job, points=[("loss", 1, 1.0, None)])

        run.job.refresh_from_db()
        assert run.job.lease_until > before

    def test_it_fails_when_its_program_is_never_heard_of_again(self, run):
        expire(run.job)

        assert recover_expired() == 1

        run.job.refresh_from_db()
        assert run.job.state == "failed"

    def test_a_person_can_cancel_it_at_once(self, ben, run):
        assert job_cancel(actor=ben, job=run.job).state == "canceled"

        with pytest.raises(WrongState):
            run_log_metrics(actor=ben, job=run.job, points=[("loss", 1, 1.0, None)])
        with pytest.raises(WrongState):
            run_end(actor=ben, run=run, state="succeeded")

    @pytest.mark.parametrize("state", ["succeeded", "failed", "canceled"])
    def test_every_end(self, ben, run, state):
        run_end(actor=ben, run=run, state=state, reason="It said so")

        run.job.refresh_from_db()
        assert (run.job.state, run.job.lease_until) == (state, None)
