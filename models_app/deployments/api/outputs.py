"""How deployments, revisions, replicas and calls look in the API."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from models_app.deployments.digest import fingerprint
from models_app.deployments.models import Deployment, Replica, RequestRecord, Revision
from models_app.deployments.selectors import deployment_status


class DeploymentRevisionOutput(serializers.ModelSerializer[Revision]):
    """What a deployment runs, ran or shall run."""

    url = serializers.SerializerMethodField()
    deployment = serializers.CharField(source="deployment.name")
    team = serializers.CharField(source="deployment.team.slug")
    model = serializers.CharField(source="model_version.model.name")
    version = serializers.IntegerField(source="model_version.number")
    spec = serializers.DictField(source="spec_in_effect")
    environment = serializers.CharField(source="deployment.environment.name")
    created_by = serializers.CharField(source="created_by.email", default=None)
    fingerprint = serializers.SerializerMethodField()
    adapters = serializers.SerializerMethodField()

    class Meta:
        model = Revision
        fields = [
            "id", "url", "team", "deployment", "number", "state", "model", "version",
            "model_version", "config_revision", "overlay_revision", "environment", "spec",
            "replicas", "adapters", "digest", "fingerprint",
            "reason", "error", "approval", "created_by", "created_at", "rollout_started_at",
            "activated_at", "keep_until",
        ]  # fmt: skip

    def get_url(self, row: Revision) -> str:
        return reverse("api_deployment_revision", args=[row.deployment_id, row.number])

    def get_fingerprint(self, row: Revision) -> str:
        return fingerprint(row)

    def get_adapters(self, row: Revision) -> dict[str, int]:
        """Versions by the name under which they are asked for."""
        return {one.name: one.model_version_id for one in row.adapters.all()}


class DeploymentOutput(serializers.ModelSerializer[Deployment]):
    """A deployment. `model` is the name to ask in /v1; `status` is derived from what runs."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    environment = serializers.CharField(source="environment.name")
    model = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    ready_replicas = serializers.IntegerField()
    active_revision = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.email", default=None)

    class Meta:
        model = Deployment
        fields = [
            "id", "url", "team", "name", "model", "environment", "description", "status",
            "ready_replicas", "active_revision", "stopped_at", "created_by", "created_at",
        ]  # fmt: skip

    def get_url(self, row: Deployment) -> str:
        return reverse("api_deployment_detail", args=[row.pk])

    def get_model(self, row: Deployment) -> str:
        return f"{row.team.slug}/{row.name}"

    def get_status(self, row: Deployment) -> str:
        return deployment_status(row)

    def get_active_revision(self, row: Deployment) -> dict[str, Any] | None:
        if row.active_revision is None:
            return None
        row.active_revision.deployment = row
        return dict(DeploymentRevisionOutput(row.active_revision).data)


class DeploymentReplicaOutput(serializers.ModelSerializer[Replica]):
    """One model server and the job that runs it."""

    revision = serializers.IntegerField(source="revision.number")
    node = serializers.CharField(source="job.node_name", default="")
    job_state = serializers.CharField(source="job.state", default="")

    class Meta:
        model = Replica
        fields = [
            "id", "revision", "state", "job", "job_state", "node", "epoch", "restarts", "adapters",
            "created_at", "ready_at", "drain_started_at",
        ]  # fmt: skip


class DeploymentRequestOutput(serializers.ModelSerializer[RequestRecord]):
    """One call; texts are not kept."""

    user = serializers.CharField(source="user.email", default=None)
    revision = serializers.IntegerField(source="revision.number", default=None)

    class Meta:
        model = RequestRecord
        fields = [
            "request_id", "at", "endpoint", "stream", "status", "outcome", "user", "token_prefix",
            "revision", "replica", "retries", "prompt_tokens", "completion_tokens",
            "first_token_ms", "total_ms",
        ]  # fmt: skip
