"""Trainings from before runs could be searched are found as if they had been noted then."""

from importlib import import_module

import pytest
from django.db import connection

from models_app.jobs.models import MetricLatest
from models_app.registry.models import RunParam, TrainingRun

pytestmark = pytest.mark.django_db
MIGRATION = import_module("models_app.registry.migrations.0005_runs_of_trainings")


def noted():
    return (
        set(TrainingRun.objects.values_list("job", "team", "name", "model", "dataset_version",
                                            "dataset", "created_by", "created_at")),
        {(run, name, number, text if number is None else "")
         for run, name, number, text in
         RunParam.objects.values_list("run", "name", "number", "text")},
        set(MetricLatest.objects.values_list("job", "name", "value")),
    )  # fmt: skip


def test_the_migration_notes_what_a_training_notes_today(version):
    today = noted()
    RunParam.objects.all().delete()
    TrainingRun.objects.all().delete()
    MetricLatest.objects.all().delete()

    with connection.cursor() as cursor:
        for statement in (MIGRATION.LATEST, MIGRATION.FINAL, MIGRATION.RUNS, MIGRATION.PARAMS):
            cursor.execute(statement)

    runs, params, metrics = noted()
    assert (runs, params) == today[:2]
    assert metrics == today[2]
    assert runs and params and metrics
