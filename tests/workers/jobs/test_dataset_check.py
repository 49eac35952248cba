"""Checks: they follow an import and a preparation, and store what they measure."""

import pytest

from models_app.curation.services import data_policy_change, dataset_prepare
from models_app.datasets.checking import quality_check_submit
from models_app.datasets.quality import quality_of, training_refusal
from models_app.jobs.models import Job
from tests.factories.corpora import lines_of, texts
from tests.factories.data import doubled_version, finished, pending_version, ready_version, stored
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


def test_rows_that_an_import_passed_over_are_counted_and_block(ana, ben, team, tmp_path):
    good = lines_of(texts(198))
    lines = [*good[:50], '{"body": 1}', *good[50:90], "not JSON", *good[90:]]
    version = pending_version(
        ben, team, stored("rows.jsonl", "\n".join(lines).encode()), name="odd",
        invalid_rows="skip",
    )  # fmt: skip
    finished(version, tmp_path)
    rule = {"schema": {"action": "block", "max_percent": 0.9}}
    data_policy_change(actor=ana, team=team, spec=rule)
    checks = Job.objects.filter(kind="dataset_check", params__dataset_version=version.pk)
    run_job(checks.get(), tmp_path)

    assert version.counts["total"]["documents"] == 198
    assert quality_of(version).state == "blocked"
    said = training_refusal(version)
    assert "Wrong schema 1 % (2 of 200, at most 0.9 %)" in said
    assert "rows.jsonl line 51, rows.jsonl line 92" in said


def test_an_import_refuses_such_rows_unless_it_is_told_otherwise(ben, team, tmp_path):
    version = pending_version(ben, team, stored("odd.jsonl", b'{"text": "x"}\n{"body": 1}\n'))
    assert finished(version, tmp_path).state == "failed"
    skipping = pending_version(ben, team, stored("b.jsonl", b'{"body": 1}'), invalid_rows="skip")
    assert "holds no documents that fit" in finished(skipping, tmp_path).error
