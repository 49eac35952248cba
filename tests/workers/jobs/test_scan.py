"""The scan of versions that exist: made by trainings, or imported under older rules."""

import pytest

from models_app.core.errors import FieldError, WrongState
from models_app.jobs.services import job_submit
from models_app.registry.services import version_scan
from tests.fakes.jobs import run_job
from tests.models_app.registry.conftest import data, model, trained, version

__all__ = ["data", "model", "trained", "version"]
# Fixtures are imported and then named as arguments.
pytestmark = pytest.mark.django_db


def test_what_a_training_made_passes(ana, version, tmp_path):
    job = version_scan(actor=ana, version=version)

    assert run_job(job, tmp_path / "scan").state == "succeeded"

    scan = version.scans.get()
    assert scan.verdict == "passed", scan.report
    assert scan.report["files"]["model.safetensors"] == "weights"


def test_versions_without_files_and_of_others_are_refused(ana, cai, other_team, version):
    type(version).objects.filter(pk=version.pk).update(state="failed")
    version.refresh_from_db()

    with pytest.raises(WrongState):
        version_scan(actor=ana, version=version)
    with pytest.raises(FieldError, match="same team"):
        job_submit(actor=cai, team=other_team, kind="scan", params={"model_version": version.pk})
