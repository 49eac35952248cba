"""The job kind of a replica: what it refuses, what its server is told, what its reports change."""

import pytest

from models_app.core.blobs import blob_path
from models_app.core.errors import FieldError
from models_app.deployments.models import Replica, Revision
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.secrets import replica_secret
from models_app.deployments.states import ReplicaState
from models_app.jobs import attempts
from models_app.jobs.kind import JobFailed, job_kinds, kind_of
from models_app.jobs.services import job_rerun, job_submit
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState
from tests.factories.deployments import (
    claim,
    deployment_of,
    live,
    ready_version,
    revision_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    deployment = deployment_of(ana, team)
    version = ready_version(team, text="some weights")
    revision_of(ana, deployment, version=version, threads=2, max_context=0)
    reconcile_deployment(deployment.pk)
    return deployment


@pytest.fixture
def replica(deployment):
    return live(deployment)[0]


def load(job, folder):
    kind, params = kind_of(job)
    return kind.load(params, job, folder)


class TestLoad:
    def test_tells_the_server_all_it_needs(self, replica, tmp_path, settings):
        job = claim(replica)

        inputs = load(job, tmp_path)

        assert inputs["name"] == "research/writer"
        assert inputs["secret"] == replica_secret(replica.pk, 1)
        assert inputs["host"] == settings.REPLICA_HOST
        assert inputs["fingerprint"] == replica.revision.digest[:12]
        assert (inputs["threads"], inputs["max_context"]) == (2, None)
        assert (tmp_path / "model" / "model.safetensors").read_text() == "some weights"
        replica.refresh_from_db()
        assert (replica.state, replica.epoch) == (ReplicaState.LOADING, 1)

    def test_the_secret_changes_with_every_attempt(self, replica):
        assert replica_secret(replica.pk, 1) != replica_secret(replica.pk, 2)
        assert replica_secret(replica.pk, 1) != replica_secret(replica.pk + 1, 1)

    def test_refuses_a_changed_revision(self, replica, tmp_path):
        job = claim(replica)
        Revision.objects.update(replicas=7)
        with pytest.raises(JobFailed, match="has changed"):
            load(job, tmp_path)

    def test_refuses_a_quarantined_version(self, replica, tmp_path):
        job = claim(replica)
        ModelVersion.objects.update(state=VersionState.QUARANTINED)
        with pytest.raises(JobFailed, match="Quarantined"):
            load(job, tmp_path)

    def test_refuses_damaged_files(self, replica, tmp_path):
        job = claim(replica)
        entry = ModelVersion.objects.get().manifest["model.safetensors"]
        path = blob_path(entry["sha256"])
        path.chmod(0o644)
        path.write_text("some weightz")
        try:
            with pytest.raises(JobFailed, match="damaged"):
                load(job, tmp_path)
        finally:
            path.unlink()


class TestReports:
    def test_ready_says_where(self, replica):
        job = claim(replica)

        attempts.job_ready(job=job, data={"host": "10.0.0.5", "port": 4711})

        replica.refresh_from_db()
        assert replica.state == ReplicaState.READY
        assert (replica.host, replica.port, replica.epoch) == ("10.0.0.5", 4711, 1)

    def test_a_released_job_is_a_crashed_replica_until_it_is_claimed_again(self, replica, tmp_path):
        job = claim(replica)
        attempts.job_ready(job=job, data={"host": "127.0.0.1", "port": 1})

        attempts.job_release(job=job, message="shutdown", attempt={})

        replica.refresh_from_db()
        assert replica.state == ReplicaState.CRASHED
        load(claim(replica), tmp_path)
        replica.refresh_from_db()
        assert (replica.state, replica.epoch, replica.restarts) == (ReplicaState.LOADING, 2, 1)

    def test_a_stopped_job_is_a_stopped_replica(self, replica):
        job = claim(replica)
        attempts.job_fail(job=job, code="oom", message="oom", permanent=True, attempt={})
        replica.refresh_from_db()
        assert replica.state == ReplicaState.STOPPED

    def test_ready_does_not_bring_a_draining_replica_back(self, replica):
        job = claim(replica)
        Replica.objects.update(state=ReplicaState.DRAINING)
        attempts.job_ready(job=job, data={"host": "127.0.0.1", "port": 1})
        replica.refresh_from_db()
        assert replica.state == ReplicaState.DRAINING


def test_people_neither_submit_nor_repeat_it(ana, replica, team):
    assert not job_kinds.get("serve").submittable
    params = {"replica": replica.pk, "revision": replica.revision_id}
    with pytest.raises(FieldError, match="started by deployments"):
        job_submit(actor=ana, team=team, kind="serve", params=params)
    with pytest.raises(Exception, match="not run again by hand"):
        job_rerun(actor=ana, job=replica.job)


def test_unknown_parameters_are_refused():
    kind = job_kinds.get("serve")
    with pytest.raises((ValueError, FieldError)):
        kind.Params(replica=1, revision=1, host="0.0.0.0")
