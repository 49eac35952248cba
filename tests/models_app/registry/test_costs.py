"""Calls that programs make all the time take the same few queries however much there is."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.jobs.metrics import metric_series
from models_app.registry.models import Alias
from models_app.registry.services import run_begin, run_log_metrics
from tests.factories.deployments import ready_version

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def api(ben, api_for):
    client = api_for(ben)
    client.get(f"{V1}/models")  # notes the use of the token
    return client


def queries(call) -> int:
    with CaptureQueriesContext(connection) as found:
        assert call().status_code < 300
    return len([q for q in found if "SAVEPOINT" not in q["sql"]])


def test_a_list_of_versions(team, api):
    model = ready_version(team).model
    first = queries(lambda: api.get(f"{V1}/models/{model.pk}/versions?page_size=50"))
    alone = queries(lambda: api.get(f"{V1}/models/{model.pk}"))
    for n in range(60):
        version = ready_version(team, text=f"weights {n}")
        Alias.objects.create(model=model, name=f"name-{n}", version=version)

    assert queries(lambda: api.get(f"{V1}/models/{model.pk}/versions?page_size=50")) == first == 3
    assert queries(lambda: api.get(f"{V1}/models/{model.pk}")) == alone == 3


def test_a_report_of_a_hundred_points(ben, team, api):
    run = run_begin(actor=ben, team=team, name="elsewhere")
    points = [{"name": f"m{n % 10}", "step": n, "value": 1.5} for n in range(100)]
    url = f"{V1}/training-runs/{run.pk}/metrics"

    assert queries(lambda: api.post(url, {"points": points[:1]}, format="json")) == 3
    assert queries(lambda: api.post(url, {"points": points}, format="json")) == 3


def test_a_version_that_is_registered(ben, team, api):
    model, run = ready_version(team).model, run_begin(actor=ben, team=team, name="elsewhere")
    url = f"{V1}/models/{model.pk}/versions"

    answer = api.post(url, {"run": run.pk, "notes": "Second try"}, format="json")

    assert (answer.status_code, answer.json()["number"], answer.json()["state"]) == (
        201, 2, "pending",
    )  # fmt: skip
    assert queries(lambda: api.post(url, {"run": run.pk}, format="json")) <= 9


def test_a_version_of_a_run_that_is_not_there_names_the_field(cai, other_team, team, api):
    model = ready_version(team).model
    foreign = run_begin(actor=cai, team=other_team, name="secret")
    for key in (foreign.pk, 10**9, 0):
        answer = api.post(f"{V1}/models/{model.pk}/versions", {"run": key}, format="json")
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["run"])


def test_versions_fail_with_the_run_that_was_to_make_them(ben, team, api):
    model, run = ready_version(team).model, run_begin(actor=ben, team=team, name="elsewhere")
    made = api.post(f"{V1}/models/{model.pk}/versions", {"run": run.pk}, format="json").json()

    api.post(f"{V1}/training-runs/{run.pk}/end", {"state": "failed", "reason": "x"}, format="json")

    assert api.get(made["url"]).json()["state"] == "failed"


def test_a_long_chart_is_short_and_keeps_every_spike(ben, team, api):
    run = run_begin(actor=ben, team=team, name="long")
    for first in range(0, 10_000, 1000):
        rows = [("loss", first + n, 9 / (first + n + 1), None) for n in range(1000)]
        run_log_metrics(actor=ben, job=run.job, points=rows)
    run_log_metrics(actor=ben, job=run.job, points=[("loss", 4321, 77.5, None)])
    url = f"{V1}/jobs/{run.pk}/metrics?name=loss"

    answer = api.get(url)

    points = answer.json()["points"]
    assert len(answer.content) <= 40 * 1024
    assert 900 <= len(points) <= 1000
    assert [4321, 77.5] in points
    assert points == sorted(points)
    assert queries(lambda: api.get(url)) == 3
    assert len(metric_series(job=run.job, name="loss", after_step=9_900)) == 99
