"""Runs side by side: settings, figures and what their environments do not have in common."""

import pytest

from models_app.jobs.models import JobAttempt
from models_app.registry.run_comparison import environment_lines
from models_app.registry.services import run_begin, run_log_metrics

pytestmark = pytest.mark.django_db
URL = "/api/v1/training-runs/compare"


@pytest.fixture
def runs(ben, team):
    found = []
    for n in range(3):
        run = run_begin(actor=ben, team=team, name=f"run {n}", params={"layers": 2 + n})
        run_log_metrics(actor=ben, job=run.job, points=[("loss", 1, 3.0 - n, None)])
        found.append(run)
    return found


@pytest.fixture
def ran_in(runs):
    def note(place, **environment):
        job = runs[place].job
        row, _new = JobAttempt.objects.get_or_create(job=job, epoch=1, defaults={"worker": "w"})
        row.environment = environment
        row.save()

    return note


def lines(runs):
    return {line.name: list(line.values) for line in environment_lines([run.pk for run in runs])}


def test_names_the_package_that_changed(runs, ran_in):
    ran_in(0, packages={"torch": "2.13.0", "numpy": "2.4.6"}, threads={"torch": 1})
    ran_in(1, packages={"torch": "2.12.0", "numpy": "2.4.6"}, threads={"torch": 1})
    ran_in(2, packages={"torch": "2.13.0"}, threads={"torch": 2})

    assert lines(runs) == {
        "packages.torch": ["2.13.0", "2.12.0", "2.13.0"],
        "packages.numpy": ["2.4.6", "2.4.6", None],
        "threads.torch": [1, 1, 2],
    }


def test_a_run_without_a_record_says_nothing(runs, ran_in):
    ran_in(1, packages={"torch": "2.12.0"})
    ran_in(2, packages={"torch": "2.13.0"})

    assert lines(runs) == {"packages.torch": [None, "2.12.0", "2.13.0"]}
    assert lines(runs[:2]) == {}


class TestApi:
    def test_gives_lines_in_the_order_asked_for(self, ben, runs, api_for):
        answer = api_for(ben).get(f"{URL}?run={runs[1].pk}&run={runs[0].pk}").json()

        assert answer["runs"] == [runs[1].pk, runs[0].pk]
        assert answer["params"] == [{"name": "layers", "values": [3, 2], "differs": True}]
        assert answer["metrics"][0]["values"] == [2.0, 3.0]
        assert answer["environment"] == []

    @pytest.mark.parametrize("query", ["", "run=1", "run=a&run=2", "run=1&run=1"])
    def test_names_the_field(self, ben, runs, api_for, query):
        answer = api_for(ben).get(f"{URL}?{query}")

        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == ["run"]

    def test_is_not_there_for_outsiders(self, cai, runs, api_for):
        answer = api_for(cai).get(f"{URL}?run={runs[0].pk}&run={runs[1].pk}")

        assert answer.status_code == 404
