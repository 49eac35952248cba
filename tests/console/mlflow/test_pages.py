"""What people see of runs that programs log, and how they are told to log their own."""

from urllib.parse import unquote_plus

import pytest
from django.urls import reverse

from models_app.registry.models import LoggedRun
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def logged(wire_for, ben, settings, tmp_path):
    """A run with a parameter, a value that is no number, a file and tags."""
    settings.DATA_DIR = tmp_path
    wire = wire_for(ben)
    made = wire.made("experiments/create", name='rates "a"')
    key = wire.run(made["experiment_id"], run_name="night")
    wire.made(
        "runs/log-batch", run_id=key, params=[{"key": "lr", "value": "1e-4"}],
        metrics=[{"key": "loss", "value": "NaN", "timestamp": 1, "step": 7}],
        tags=[{"key": "side", "value": "left"}, {"key": "mlflow.user", "value": "somebody"}],
    )  # fmt: skip
    run = LoggedRun.objects.get(key=key)
    address = f"{run.experiment_id}/{key}/artifacts/notes/a.txt"
    root = "/mlflow/api/2.0/mlflow-artifacts/artifacts"
    assert (
        wire.client.put(f"{root}/{address}", b"hello", content_type="text/plain").status_code == 200
    )
    return run


def test_the_page_of_a_run_shows_what_its_program_logged(client_for, eve, logged):
    client = client_for(eve)
    text = client.get(reverse("job_detail", args=[logged.pk])).content.decode()
    for said in (logged.key, "notes/a.txt", "loss was no finite number at step 7", "1e-4"):
        assert said in text
    answer = client.get(reverse("run_file", args=[logged.pk, "notes/a.txt"]))
    assert b"".join(answer.streaming_content) == b"hello"
    assert answer["Content-Disposition"].startswith("attachment")
    assert client.get(reverse("run_file", args=[logged.pk, "other"])).status_code == 404


def test_the_experiment_leads_to_its_runs(client_for, ben, logged):
    client = client_for(ben)
    text = client.get(reverse("job_detail", args=[logged.pk])).content.decode()
    href = next(part.split('"')[0] for part in text.split('href="') if "?filter=" in part)
    assert unquote_plus(href).endswith('experiment = "rates \\"a\\""')
    answer = client.get(href)
    assert answer.status_code == 200
    assert "night" in answer.content.decode()


def test_the_list_of_runs_tells_how_to_log_and_leaves_out_what_clients_note(
    client_for, ben, eve, logged
):
    text = client_for(ben).get(reverse("run_list")).content.decode()
    assert "MLFLOW_TRACKING_URI=" in text
    assert "research/first" in text
    assert "side=left" in text
    assert "mlflow.user" not in text
    assert "MLFLOW_TRACKING_URI=" not in client_for(eve).get(reverse("run_list")).content.decode()


def test_files_by_the_api(api_for, eve, logged):
    (row,) = api_for(eve).get(f"/api/v1/training-runs/{logged.pk}/files").json()
    assert (row["path"], row["size"]) == ("notes/a.txt", 5)
    answer = api_for(eve).get(f"/api/v1/training-runs/{logged.pk}/files/notes/a.txt")
    assert b"".join(answer.streaming_content) == b"hello"


def test_outsiders_see_nothing_of_it(client_for, api_for, cai, logged):
    page = reverse("run_file", args=[logged.pk, "notes/a.txt"])
    files = f"/api/v1/training-runs/{logged.pk}/files"
    assert_hidden(client_for(cai), [page])
    assert_hidden(api_for(cai), [files, f"{files}/notes/a.txt"])
    assert_needs_sign_in([page, files, f"{files}/notes/a.txt"])
