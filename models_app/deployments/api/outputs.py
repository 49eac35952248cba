"""How deployments, revisions, replicas and calls look in the API."""

from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.core.clock import now
from models_app.deployments.digest import fingerprint
from models_app.deployments.models import Deployment, Replica, RequestRecord, Revision, ScalingEvent
from models_app.deployments.selectors import deployment_status
from models_app.deployments.states import ReplicaState
from models_app.deployments.wanted import wanted_replicas


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
    wanted_replicas = serializers.SerializerMethodField()
    active_revision = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.email", default=None)

    class Meta:
        model = Deployment
        fields = [
            "id", "url", "team", "name", "model", "environment", "description", "status",
            "ready_replicas", "wanted_replicas", "held_at", "held_until", "active_revision",
            "stopped_at", "created_by", "created_at",
        ]  # fmt: skip

    def get_url(self, row: Deployment) -> str:
        return reverse("api_deployment_detail", args=[row.pk])

    def get_model(self, row: Deployment) -> str:
        return f"{row.team.slug}/{row.name}"

    def get_status(self, row: Deployment) -> str:
        return deployment_status(row)

    def get_wanted_replicas(self, row: Deployment) -> int:
        active = row.active_revision
        return 0 if active is None or row.stopped_at else wanted_replicas(row, active)

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
    placement = serializers.DictField(source="job.placement", default=dict)
    next_try_at = serializers.SerializerMethodField()

    class Meta:
        model = Replica
        fields = [
            "id", "revision", "state", "job", "job_state", "node", "epoch", "restarts", "adapters",
            "placement", "next_try_at", "created_at", "ready_at", "drain_started_at",
        ]  # fmt: skip

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_next_try_at(self, row: Replica) -> Any:
        """When a crashed one is started again, as long as that lies ahead."""
        waits = row.state == ReplicaState.CRASHED and row.job and row.job.run_after > now()
        return row.job.run_after if waits and row.job else None


class DeploymentScalingOutput(serializers.ModelSerializer[ScalingEvent]):
    """One change of the wanted number of replicas, and what it was decided by."""

    class Meta:
        model = ScalingEvent
        fields = ["at", "before", "after", "cause", "figures"]


class DeploymentRequestOutput(serializers.ModelSerializer[RequestRecord]):
    """One call; texts are not kept. Times are milliseconds; `wake_ms` is part of `gateway_wait_ms`,
    and `first_token_ms` and `total_ms` are counted from the arrival at the gateway.
    """

    user = serializers.CharField(source="user.email", default=None)
    revision = serializers.IntegerField(source="revision.number", default=None)

    class Meta:
        model = RequestRecord
        fields = [
            "request_id", "at", "model", "rule", "adapter", "endpoint", "stream", "status",
            "outcome", "detail", "user", "token_prefix", "revision", "replica", "node", "retries",
            "resumes", "degraded", "mirrored", "cache", "prompt_tokens", "cached_tokens",
            "completion_tokens", "gateway_wait_ms", "wake_ms", "queue_ms", "prefill_ms",
            "first_token_ms", "total_ms",
        ]  # fmt: skip
