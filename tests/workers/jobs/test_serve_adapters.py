"""What a replica is told of adapters while it runs, and what becomes of what it says."""

import json

import pytest

from models_app.core.blobs import blob_path
from models_app.deployments.models import Replica
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import deployment_adapter_add, deployment_adapter_remove
from models_app.jobs import attempts
from models_app.jobs.kind import kind_of
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState
from tests.factories.deployments import (
    adapter_version,
    claim,
    deployment_of,
    live,
    ready_version,
    revision_of,
    serving,
)
from workers.lm.inference.adapters import Wanted

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


@pytest.fixture
def adapter(team, deployment):
    return adapter_version(team, deployment.active_revision.model_version)


@pytest.fixture
def replica(deployment):
    return live(deployment)[0]


def refresh(replica, folder):
    """As its supervisor does at every sign of life; what the server then reads."""
    folder.mkdir(exist_ok=True)
    kind, params = kind_of(replica.job)
    kind.refresh(params, replica.job, folder)
    return Wanted.read(folder / "wanted.json")


def add(ana, deployment, adapter, name="sql"):
    deployment_adapter_add(actor=ana, deployment=deployment, name=name, model_version=adapter)
    reconcile_deployment(deployment.pk)


def test_files_are_laid_out_and_named(ana, deployment, replica, adapter, tmp_path):
    assert refresh(replica, tmp_path).adapters == {}
    add(ana, deployment, adapter)

    wanted = refresh(replica, tmp_path)

    found = wanted.adapters["sql"]
    assert (found.version, found.problem) == (adapter.pk, "")
    assert (found.folder / "adapter_model.safetensors").read_text() == "factors of tuned"
    assert deployment.active_revision.digest.startswith(wanted.fingerprint)


def test_nothing_is_written_where_nothing_has_changed(ana, deployment, replica, adapter, tmp_path):
    add(ana, deployment, adapter)
    refresh(replica, tmp_path)
    before = (tmp_path / "wanted.json").stat().st_mtime_ns

    refresh(replica, tmp_path)

    assert (tmp_path / "wanted.json").stat().st_mtime_ns == before


def test_what_is_removed_goes_from_the_disk(ana, deployment, replica, adapter, tmp_path):
    add(ana, deployment, adapter)
    refresh(replica, tmp_path)
    deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")

    assert refresh(replica, tmp_path).adapters == {}
    assert list((tmp_path / "adapters").iterdir()) == []


def test_a_damaged_file_is_a_problem_of_that_adapter(ana, deployment, replica, adapter, tmp_path):
    add(ana, deployment, adapter)
    path = blob_path(adapter.manifest["adapter_model.safetensors"]["sha256"])
    path.chmod(0o644)
    kept = path.read_text()
    path.write_text(kept.upper())
    try:
        assert "damaged" in refresh(replica, tmp_path).adapters["sql"].problem
    finally:
        path.write_text(kept)
    assert refresh(replica, tmp_path).adapters["sql"].problem == ""


def test_a_quarantined_one_is_wanted_no_more(ana, deployment, replica, adapter, tmp_path):
    add(ana, deployment, adapter)
    ModelVersion.objects.filter(pk=adapter.pk).update(state=VersionState.QUARANTINED)

    assert refresh(replica, tmp_path).adapters == {}


def test_a_replica_begins_with_the_adapters_of_its_revision(ana, team, tmp_path):
    base = ready_version(team, text="base")
    deployment = deployment_of(ana, team, name="other")
    revision_of(ana, deployment, version=base, adapters={"sql": adapter_version(team, base)})
    reconcile_deployment(deployment.pk)
    job = claim(live(deployment)[0])

    kind, params = kind_of(job)
    inputs = kind.load(params, job, tmp_path)

    said = json.loads((tmp_path / "wanted.json").read_text())
    assert inputs["wanted"] == str(tmp_path / "wanted.json")
    assert set(said["adapters"]) == {"sql"}


def test_after_a_change_in_place_it_begins_again_under_its_new_revision(
    ana, deployment, replica, adapter, tmp_path
):
    add(ana, deployment, adapter)
    data = {"loaded": {"sql": adapter.pk}, "failed": {}}
    attempts.job_report(job=replica.job, data=data)
    reconcile_deployment(deployment.pk)
    deployment.refresh_from_db()
    replica.refresh_from_db()
    assert replica.adapters == data

    attempts.job_release(job=replica.job, message="shutdown", attempt={})
    job = claim(replica)
    kind, params = kind_of(job)
    inputs = kind.load(params, job, tmp_path)

    assert deployment.active_revision.number == 2
    assert deployment.active_revision.digest.startswith(inputs["fingerprint"])
    assert Replica.objects.get().adapters == {}


def test_an_older_attempt_is_not_listened_to(deployment, replica, adapter):
    Replica.objects.filter(pk=replica.pk).update(epoch=7)
    attempts.job_report(job=replica.job, data={"loaded": {"sql": adapter.pk}})
    replica.refresh_from_db()
    assert replica.adapters != {"loaded": {"sql": adapter.pk}, "failed": {}}
