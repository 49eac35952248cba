"""Reproduction drills: what was rebuilt by the clock, and whether teams have that."""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.registry.drill_selectors import drill_list, drill_plans
from models_app.registry.models import Drill, DrillPlan
from models_app.registry.services import drill_plan_set


class DrillPlanInput(BaseModel):
    """Whether a team has drills, and how often."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    is_on: bool
    days: int | None = Field(None, description="Days between drills; the setting if left out")


class DrillPlanOutput(serializers.ModelSerializer[DrillPlan]):
    """The drills of a team: `period_days` is 0 where there are none."""

    team = serializers.CharField(source="team.slug")
    period_days = serializers.IntegerField()
    due_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = DrillPlan
        fields = ["team", "is_on", "days", "period_days", "fired_at", "due_at"]


class DrillOutput(serializers.ModelSerializer[Drill]):
    """One drill: the rebuilt version and its verdict, and what was passed over and why."""

    team = serializers.CharField(source="team.slug")
    model_version = serializers.IntegerField(source="reproduction.version_id", default=None)
    verdict = serializers.CharField(source="reproduction.verdict", default=None)
    divergence = serializers.CharField(source="reproduction.divergence", default=None)
    passed_over = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = Drill
        fields = [
            "id", "team", "model_version", "reproduction", "verdict", "divergence", "passed_over",
            "created_at",
        ]  # fmt: skip


class DrillListApi(ListAPIView[Drill]):
    """Drills of your teams, newest first."""

    serializer_class = DrillOutput
    pagination_class = Page
    queryset = Drill.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return drill_list(actor=actor)


class DrillPlansApi(APIView):
    """The plans of your teams; POST changes one."""

    @extend_schema(responses=DrillPlanOutput(many=True))
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        return Response(DrillPlanOutput(drill_plans(actor=actor), many=True).data)

    @extend_schema(request=request_schema(DrillPlanInput), responses=DrillPlanOutput)
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(DrillPlanInput, request.data)
        team = team_named(actor, given.team)
        plan = drill_plan_set(actor=actor, team=team, is_on=given.is_on, days=given.days)
        return Response(DrillPlanOutput(plan).data)
