"""What the API of configurations answers."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from models_app.configs.documents import spec_yaml
from models_app.configs.models import Config, ConfigRevision, OverlayRevision
from models_app.configs.yaml_text import yaml_dump


class ConfigOutput(serializers.ModelSerializer[Config]):
    """A configuration."""

    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.email", default=None)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Config
        fields = ["id", "url", "team", "kind", "name", "created_by", "created_at"]

    def get_url(self, row: Config) -> str:
        return reverse("api_config_detail", args=[row.pk])


class RevisionOutput(serializers.ModelSerializer[ConfigRevision]):
    """An immutable revision with its contents, as values and as canonical YAML."""

    config_name = serializers.CharField(source="config.name")
    kind = serializers.CharField(source="config.kind")
    author = serializers.CharField(source="author.email", default=None)
    spec = serializers.DictField()
    yaml = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = ConfigRevision
        fields = [
            "id", "url", "config", "config_name", "kind", "number", "spec", "yaml", "digest",
            "reason", "author", "created_at",
        ]  # fmt: skip

    def get_url(self, row: ConfigRevision) -> str:
        return reverse("api_config_revision", args=[row.pk])

    def get_yaml(self, row: ConfigRevision) -> str:
        return spec_yaml(row.config.kind, row.spec)


class OverlayOutput(serializers.ModelSerializer[OverlayRevision]):
    """An immutable revision of what one environment changes."""

    author = serializers.CharField(source="author.email", default=None)
    patch = serializers.DictField()
    yaml = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = OverlayRevision
        fields = [
            "id", "url", "config", "environment", "number", "patch", "yaml", "digest", "reason",
            "author", "created_at",
        ]  # fmt: skip

    def get_url(self, row: OverlayRevision) -> str:
        return reverse("api_config_overlays", args=[row.config_id, row.environment])

    def get_yaml(self, row: OverlayRevision) -> Any:
        return yaml_dump(row.patch)
