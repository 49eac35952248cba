"""Rows read by kept readers say the same as REST framework says field by field."""

import pytest
from rest_framework import serializers

from models_app.core.serializing import RowSerializer
from models_app.registry.api.versions import ModelVersionOutput, ModelVersionRow
from models_app.registry.models import ModelVersion
from tests.factories.deployments import ready_version

pytestmark = pytest.mark.django_db


def test_a_row_says_what_the_slow_way_says(team):
    version = ready_version(team)
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"loss": 1.5}, ready_at=None)
    version = ModelVersion.objects.get(pk=version.pk)
    slow = serializers.ModelSerializer.to_representation(ModelVersionOutput(), version)

    assert dict(slow) == ModelVersionOutput(version).data
    assert list(slow) == list(ModelVersionOutput(version).data)


def test_a_plain_row_says_what_an_instance_says(team):
    version = ready_version(team)
    row = ModelVersionRow.select(ModelVersion.objects.all()).get()

    assert isinstance(row, tuple)
    assert ModelVersionRow(row).data == ModelVersionRow(ModelVersion.objects.get()).data
    assert ModelVersionRow(row).data["url"].endswith(f"/model-versions/{version.pk}")


def test_a_part_of_a_path_that_is_missing_gives_null(team, ana):
    class Shown(RowSerializer[ModelVersion]):
        author = serializers.CharField(source="produced_by.created_by.email", default=None)

        class Meta:
            model = ModelVersion
            fields = ["id", "author"]

    version = ready_version(team)

    assert Shown(version).data == {"id": version.pk, "author": None}
    assert Shown(Shown.select(ModelVersion.objects.all()).get()).data["author"] is None
