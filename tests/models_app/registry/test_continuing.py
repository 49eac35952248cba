"""A training goes on from a checkpoint of another run as if it had never stopped."""

import hashlib
import io
import json
import tarfile

import pytest

from models_app.core.blobs import blob_path
from models_app.jobs.metrics import metric_series
from models_app.jobs.models import Checkpoint
from models_app.registry.models import ModelVersion
from models_app.registry.services import training_start
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def first(ana, team, model, data, tmp_path, settings):
    """The run that was never interrupted: 6 steps, a checkpoint after every second."""
    settings.DATA_DIR = tmp_path / "data"
    spec = {**TINY, "dropout": 0.1, "keep_checkpoints": 9}
    data.refresh_from_db()
    version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=spec)
    run_job(version.produced_by, tmp_path, keep=True)
    version.refresh_from_db()
    return version


@pytest.fixture
def data(ana, team, tmp_path, settings):
    from tests.factories.data import ready_version

    settings.DATA_DIR = tmp_path / "data"
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def checkpoint(first):
    return Checkpoint.objects.get(job=first.produced_by, step=2)


@pytest.fixture
def go_on(ben, api_for, tmp_path):
    def run(checkpoint, **changes):
        answer = api_for(ben).post(
            f"{V1}/checkpoints/{checkpoint.pk}/continue", {"changes": changes}, format="json"
        )
        assert answer.status_code == 202, answer.json()
        version = ModelVersion.objects.get(pk=answer.json()["id"])
        run_job(version.produced_by, tmp_path, keep=True)
        version.refresh_from_db()
        assert version.state == "ready", version.error
        return version

    return run


class TestContinuing:
    def test_ends_with_the_weights_of_the_uninterrupted_run(self, first, checkpoint, go_on):
        again = go_on(checkpoint)

        assert again.manifest == first.manifest
        assert again.digest == first.digest
        steps = [step for step, _loss in metric_series(job=again.produced_by, name="loss")]
        assert steps == [3, 4, 5, 6]

    def test_for_longer_keeps_the_schedule_of_the_first_run(self, first, checkpoint, go_on):
        longer = go_on(checkpoint, steps=9)

        losses = dict(metric_series(job=longer.produced_by, name="loss"))
        before = dict(metric_series(job=first.produced_by, name="loss"))
        rates = dict(metric_series(job=longer.produced_by, name="learning_rate"))
        assert {step: losses[step] for step in (3, 4, 5, 6)} == {
            step: before[step] for step in (3, 4, 5, 6)
        }
        assert rates[6] > rates[7] == rates[9] == longer.config_revision.spec["min_learning_rate"]
        assert longer.config_revision.spec["schedule_steps"] == 6

    def test_is_in_the_provenance_with_every_file(self, ben, checkpoint, go_on, api_for):
        version = go_on(checkpoint)
        url = f"{V1}/model-versions/{version.pk}/provenance"
        api = api_for(ben)

        found = api.get(url).json()

        assert found["continued_from"]["step"] == 2
        assert found["continued_from"]["digest"] == checkpoint.digest
        names = {item["name"] for item in found["items"]}
        assert "checkpoint" in names
        assert any(name.endswith("optimizer.safetensors") for name in names)
        assert api.get(f"{url}/verify").json()["verdict"] == "equal"

    def test_works_when_the_first_run_has_let_go_of_it(self, first, checkpoint, go_on, ben,
                                                       api_for, tmp_path):  # fmt: skip
        answer = api_for(ben).post(f"{V1}/checkpoints/{checkpoint.pk}/continue", {}, format="json")
        Checkpoint.objects.filter(pk=checkpoint.pk).delete()
        version = ModelVersion.objects.get(pk=answer.json()["id"])

        run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert version.digest == first.digest


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "field", "text"),
        [
            ({"learning_rate": 1e-2}, "changes.learning_rate", "it was 0.001"),
            ({"threads": 2}, "changes.threads", "cannot become 2"),
            ({"schedule_steps": 99}, "changes.schedule_steps", "depends on it"),
            ({"batch_size": 8, "seed": 2}, "changes.seed", "it was 1337"),
            ({"stpes": 8}, "changes.stpes", "no such setting"),
            ({"steps": 2}, "changes.steps", "at step 2 already"),
            ({"steps": "many"}, "changes.steps", "integer"),
        ],
    )
    def test_name_every_change_that_the_state_does_not_allow(
        self, ben, checkpoint, api_for, changes, field, text
    ):
        answer = api_for(ben).post(
            f"{V1}/checkpoints/{checkpoint.pk}/continue", {"changes": changes}, format="json"
        )

        assert answer.status_code == 422
        assert set(answer.json()["errors"]) == {f"changes.{name}" for name in changes}
        assert text in answer.json()["errors"][field][0]
        assert ModelVersion.objects.count() == 1

    def test_files_that_are_gone_are_said_to_be(self, ben, checkpoint, api_for, tmp_path):
        Checkpoint.objects.filter(pk=checkpoint.pk).update(path="/nowhere/step-000002.a1")

        for verb in ("continue", "pin"):
            answer = api_for(ben).post(f"{V1}/checkpoints/{checkpoint.pk}/{verb}", {})
            assert answer.status_code == 409
            assert "not in reach" in answer.json()["detail"]

    def test_viewers_may_not(self, eve, checkpoint, api_for):
        for verb in ("continue", "pin", "unpin"):
            answer = api_for(eve).post(f"{V1}/checkpoints/{checkpoint.pk}/{verb}", {})
            assert answer.status_code == 403

    def test_outsiders_find_nothing(self, cai, checkpoint, api_for):
        one = f"{V1}/checkpoints/{checkpoint.pk}"
        posts = [f"{one}/{verb}" for verb in ("continue", "pin", "unpin")]

        assert_hidden(api_for(cai), [one, f"{one}/download"], posts)
        assert_needs_sign_in([one, f"{one}/download"], posts)


class TestDownload:
    def test_holds_every_file_of_the_manifest(self, ben, checkpoint, api_for):
        answer = api_for(ben).get(f"{V1}/checkpoints/{checkpoint.pk}/download")

        with tarfile.open(fileobj=io.BytesIO(b"".join(answer.streaming_content))) as pack:
            names = {name.rpartition("/")[2]: name for name in pack.getnames()}
            files = {short: pack.extractfile(name).read() for short, name in names.items()}
        assert hashlib.sha256(files["state.json"]).hexdigest() == checkpoint.digest
        for name, facts in json.loads(files["state.json"])["files"].items():
            assert hashlib.sha256(files[name]).hexdigest() == facts["sha256"]


class TestPins:
    def test_put_the_files_into_the_store_and_say_so(self, ben, first, checkpoint, api_for):
        api = api_for(ben)

        pinned = api.post(f"{V1}/checkpoints/{checkpoint.pk}/pin").json()
        listed = api.get(f"{V1}/jobs/{first.produced_by_id}/checkpoints").json()

        checkpoint.refresh_from_db()
        assert pinned["pinned_at"]
        assert [row["step"] for row in listed if row["pinned_at"]] == [2]
        assert all(blob_path(one["sha256"]).exists() for one in checkpoint.manifest.values())
        assert api.post(f"{V1}/checkpoints/{checkpoint.pk}/unpin").json()["pinned_at"] is None
