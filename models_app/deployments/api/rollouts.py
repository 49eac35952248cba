"""Roll-outs: their course, and what people do with the one under way."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.deployments import selectors, services
from models_app.deployments.api import inputs
from models_app.deployments.api.actions import RolloutApi, numbered
from models_app.deployments.api.resources import deployment_for
from models_app.deployments.models import Deployment, GoldenAnswer, Rollout, RolloutEvent
from models_app.deployments.timeline import event_line


class RolloutEventOutput(serializers.ModelSerializer[RolloutEvent]):
    """One line of the timeline: `figures` has what was measured, `text` says them."""

    text = serializers.SerializerMethodField()
    figures = serializers.DictField(source="data")

    class Meta:
        model = RolloutEvent
        fields = ["at", "kind", "text", "figures"]

    def get_text(self, row: RolloutEvent) -> str:
        return event_line(row).text


class RolloutOutput(serializers.ModelSerializer[Rollout]):
    """One way of a revision into service: `plan` with its steps, and where it stands."""

    revision = serializers.IntegerField(source="revision.number")
    previous = serializers.IntegerField(source="previous.number", default=None)
    started_by = serializers.CharField(source="started_by.email", default=None)
    plan = serializers.ListField(child=serializers.DictField())
    events = RolloutEventOutput(many=True)

    class Meta:
        model = Rollout
        fields = [
            "id", "revision", "previous", "strategy", "back", "state", "plan", "step", "percent",
            "mirror_percent", "golden", "verdict", "started_by", "started_at", "step_started_at",
            "watched_since", "ended_at", "events",
        ]  # fmt: skip


class GoldenAnswerOutput(serializers.ModelSerializer[GoldenAnswer]):
    """What a revision said when it got into service, and whether it said so again."""

    tokens = serializers.ListField(child=serializers.IntegerField())

    class Meta:
        model = GoldenAnswer
        fields = [
            "number", "prompt", "text", "tokens", "stored_at", "replayed_at", "replay_equal",
            "replay_text",
        ]  # fmt: skip


class RolloutListApi(ListAPIView[Rollout], RolloutApi):
    """Roll-outs, newest first; POST starts one."""

    serializer_class = RolloutOutput
    pagination_class = Page
    queryset = Rollout.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        row = deployment_for(self.request, self.kwargs["pk"])
        return selectors.rollout_list(actor=actor, deployment=row)


class RolloutSteerApi(APIView):
    """Pause, resume, or begin the next step now."""

    what = ""

    @extend_schema(request=request_schema(inputs.ReasonInput), responses=RolloutOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.ReasonInput, request.data)
        act = getattr(services, f"rollout_{self.what}")
        return _current(act(actor=actor, deployment=row, reason=given.reason))


class GoldenForceApi(APIView):
    """Go back though the golden answers differ: needs a reason, and stands in the audit log."""

    @extend_schema(request=request_schema(inputs.ForceInput), responses={202: RolloutOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.ForceInput, request.data)
        rollout = services.golden_force(
            actor=actor, deployment=row, to=given.to, reason=given.reason
        )
        return _current(rollout, 202)


class GoldenListApi(ListAPIView[GoldenAnswer]):
    """The golden answers of a revision."""

    serializer_class = GoldenAnswerOutput
    pagination_class = Page
    queryset = GoldenAnswer.objects.none()

    def get_queryset(self) -> Any:
        row: Deployment = deployment_for(self.request, self.kwargs["pk"])
        revision = numbered(self.request, row, self.kwargs["number"], "number")
        return revision.golden_answers.order_by("number")


def _current(rollout: Rollout, status: int = 200) -> Response:
    rollout.refresh_from_db()
    return Response(RolloutOutput(rollout).data, status=status)
