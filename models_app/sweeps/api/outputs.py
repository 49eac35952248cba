"""What the API says of sweeps and trials."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.sweeps.models import Sweep, Trial


class TrialOutput(serializers.ModelSerializer[Trial]):
    """A choice of settings: `value` is that of its end or, of a stopped one, of its last rung."""

    values = serializers.DictField()
    rungs = serializers.ListField(child=serializers.DictField())
    model_version = serializers.IntegerField(source="version_id", allow_null=True)
    job = serializers.IntegerField(source="version.produced_by_id", default=None)

    class Meta:
        model = Trial
        fields = [
            "id", "number", "values", "state", "value", "rungs", "ending", "code", "reason",
            "model_version", "job", "created_at", "finished_at",
        ]  # fmt: skip


class SweepOutput(serializers.ModelSerializer[Sweep]):
    """A sweep with its numbers; `best` is the best finished trial, in the single answer only."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    model_name = serializers.CharField(source="model.name")
    config = serializers.DictField(source="base")
    space = serializers.DictField()
    goal = serializers.SerializerMethodField()
    early_stopping = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.email", default=None)
    num_trials = serializers.IntegerField(default=0)
    num_open = serializers.IntegerField(default=0)
    num_done = serializers.IntegerField(default=0)
    num_stopped = serializers.IntegerField(default=0)
    num_failed = serializers.IntegerField(default=0)
    best = serializers.SerializerMethodField()

    class Meta:
        model = Sweep
        fields = [
            "id", "url", "team", "model", "model_name", "dataset_version", "base_version",
            "config_revision", "config", "space", "strategy", "metric", "goal", "early_stopping",
            "max_trials", "parallel", "seed", "state", "reason", "note", "priority", "pool",
            "num_trials", "num_open", "num_done", "num_stopped", "num_failed", "best",
            "created_by", "created_at", "finished_at",
        ]  # fmt: skip

    def get_url(self, row: Sweep) -> str:
        return reverse("api_sweep_detail", args=[row.pk])

    def get_goal(self, row: Sweep) -> str:
        return "minimize" if row.measure.lower_is_better else "maximize"

    @extend_schema_field({"type": "object", "nullable": True, "additionalProperties": {}})
    def get_early_stopping(self, row: Sweep) -> dict[str, Any] | None:
        if not row.rungs:
            return None
        return {
            "resource": row.resource,
            "min_resource": row.min_resource,
            "max_resource": row.max_resource,
            "reduction_factor": row.reduction_factor,
            "rungs": row.rungs,
        }

    @extend_schema_field(TrialOutput(allow_null=True))
    def get_best(self, row: Sweep) -> dict[str, Any] | None:
        best = self.context.get("bests", {}).get(row.pk)
        return TrialOutput(best).data if best else None
