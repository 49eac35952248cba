"""The API of sweeps: begin, read, steer; who may, and what outsiders see."""

import pytest

from models_app.sweeps.models import Sweep
from models_app.sweeps.services import sweep_advance
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.models_app.sweeps.conftest import BASE, driven

pytestmark = pytest.mark.django_db


@pytest.fixture
def body(model, data):
    return {
        "team": "research", "model": "poet", "dataset_version": data.pk, "config": BASE,
        "space": {"batch_size": {"values": [4, 8, 16]}}, "strategy": "grid",
        "early_stopping": {"min_resource": 10, "max_resource": 90, "reduction_factor": 3},
        "parallel": 3,
    }  # fmt: skip


def post(api, body, **headers):
    return api.post("/api/v1/sweeps", body, format="json", **headers)


def test_a_sweep_is_begun_watched_and_done(api_for, ben, body):
    api = api_for(ben)
    answer = post(api, body)
    sweep = Sweep.objects.get()

    assert answer.status_code == 201
    assert answer["Location"] == f"/api/v1/sweeps/{sweep.pk}"
    assert answer.json()["early_stopping"] == {
        "resource": "steps", "min_resource": 10, "max_resource": 90, "reduction_factor": 3,
        "rungs": [10, 30],
    }  # fmt: skip
    assert (answer.json()["goal"], answer.json()["best"]) == ("minimize", None)
    driven(sweep)

    found = api.get(f"/api/v1/sweeps/{sweep.pk}").json()
    trials = api.get(f"/api/v1/sweeps/{sweep.pk}/trials").json()["results"]
    stopped = api.get(f"/api/v1/sweeps/{sweep.pk}/trials?state=stopped").json()["results"]
    [listed] = api.get("/api/v1/sweeps?state=done&team=research").json()["results"]
    assert (found["state"], found["best"]["values"]) == ("done", {"batch_size": 8})
    assert [row["number"] for row in trials] == [3, 2, 1]
    assert found["num_stopped"] == listed["num_stopped"] == len(stopped) > 0
    assert {row["ending"] for row in stopped} == {"beaten"}
    assert found["best"]["model_version"] in {row["model_version"] for row in trials}
    assert api.get("/api/v1/sweeps?state=running").json()["results"] == []


def test_it_is_paused_resumed_and_stopped(api_for, ben, body):
    api = api_for(ben)
    address = f"/api/v1/sweeps/{post(api, body).json()['id']}"
    sweep_advance(Sweep.objects.get().pk)

    assert api.post(f"{address}/pause").json()["state"] == "paused"
    assert api.post(f"{address}/resume").json()["state"] == "running"
    stopped = api.post(f"{address}/stop").json()
    assert (stopped["state"], stopped["num_open"], stopped["num_stopped"]) == ("stopped", 0, 3)
    assert api.post(f"{address}/stop").status_code == 200
    again = api.post(f"{address}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


def test_a_repeated_key_gives_the_same_sweep(api_for, ben, body):
    api = api_for(ben)
    first = post(api, body, HTTP_IDEMPOTENCY_KEY="k1")
    again = post(api, body, HTTP_IDEMPOTENCY_KEY="k1")
    other = post(api, {**body, "seed": 5}, HTTP_IDEMPOTENCY_KEY="k1")

    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert Sweep.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"space": {"batch": {"values": [1]}}}, "space.batch"),
        ({"early_stopping": {"min_resource": -1}}, "early_stopping.min_resource"),
        ({"early_stopping": {"rungs": 3}}, "early_stopping.rungs"),
        ({"max_trials": 2}, "max_trials"),
        ({"model": "nobody"}, "model"),
        ({"dataset_version": 10**9}, "dataset_version"),
        ({"config": {**BASE, "learning_rate": 99}}, "config.learning_rate"),
        ({"strategy": "asha"}, "strategy"),
        ({"trials": 3}, "trials"),
    ],
)
def test_errors_name_their_fields(api_for, ben, body, change, field):
    answer = post(api_for(ben), {**body, **change})

    assert answer.status_code == 422
    assert field in answer.json()["errors"]
    assert not Sweep.objects.exists()


def test_it_takes_the_settings_of_a_revision(api_for, ben, body, ana, team):
    from models_app.configs.services import config_revise

    revision = config_revise(actor=ana, team=team, kind="training", name="small", spec=BASE)
    given = {name: value for name, value in body.items() if name != "config"}
    answer = post(api_for(ben), {**given, "config_revision": revision.pk})

    assert answer.json()["config_revision"] == revision.pk
    assert answer.json()["config"]["steps"] == 90


def test_asks_for_role_scope_and_team(api_for, eve, ben, cai, body):
    address = f"/api/v1/sweeps/{post(api_for(ben), body).json()['id']}"
    actions = [f"{address}/{name}" for name in ("pause", "resume", "stop")]

    assert api_for(eve).get(address).status_code == 200
    assert {api_for(eve).post(action).status_code for action in actions} == {403}
    assert post(api_for(eve), body).status_code == 403
    assert post(api_for(ben, "read"), body).status_code == 403
    assert_hidden(api_for(cai), [address, f"{address}/trials"], actions)
    assert post(api_for(cai), body).json()["errors"].keys() == {"team"}
    assert api_for(cai).get("/api/v1/sweeps").json()["results"] == []
    assert_needs_sign_in(["/api/v1/sweeps", address, f"{address}/trials"], actions)
