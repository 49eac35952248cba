"""Checks: they follow an import and a preparation, and store what they measure."""

import pytest

from models_app.curation.services import dataset_prepare
from models_app.datasets.checking import quality_check_submit
from models_app.datasets.quality import quality_of
from models_app.jobs.models import Job
from tests.factories.data import doubled_version, finished, ready_version
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db
DOUBLES = ("exact_duplicates", "leakage_exact", "near_duplicates", "leakage_near")


@pytest.fixture
def parent(ben, team, tmp_path):
    return doubled_version(ben, team, tmp_path)


def test_a_check_follows_an_import_and_a_preparation(ben, parent, tmp_path):
    [check] = Job.objects.filter(kind="dataset_check")
    done = run_job(check, tmp_path)
    assert done.state == "succeeded", done.reason
    quality = quality_of(parent)

    measures = quality.report.report["measures"]
    assert quality.state == "passed"
    assert sum(measures[name]["count"] for name in DOUBLES) == 4
    assert measures["personal_data"]["count"] == 1

    version = finished(dataset_prepare(actor=ben, parent=parent, spec={}), tmp_path)
    run_job(Job.objects.get(kind="dataset_check", state="pending"), tmp_path)
    measures = quality_of(version).report.report["measures"]
    assert sum(measures[name]["count"] for name in DOUBLES) == 0


def test_it_is_measured_against_versions_that_are_chosen(ben, team, parent, tmp_path):
    judge = ready_version(ben, team, tmp_path, name="judge")
    copy = finished(dataset_prepare(actor=ben, parent=judge, spec={}), tmp_path)

    run_job(quality_check_submit(actor=ben, version=copy, against=[judge]), tmp_path)

    report = quality_of(copy).report.report
    total = copy.counts["total"]["documents"]
    assert report["evaluation"] == [{"version": judge.pk, "name": "judge v1", "count": total}]
    assert report["measures"]["leakage_evaluation"]["rows"][0]["other"]["version"] == judge.pk
