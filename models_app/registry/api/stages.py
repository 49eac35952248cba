"""Stages of a version: the moves that were asked for, and a new one."""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import NotFound
from models_app.core.pagination import Page
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.models import ModelVersion, StageMove
from models_app.registry.services import stage_move_withdraw, version_stage_move
from models_app.registry.states import MoveState


class StageInput(BaseModel):
    """Where to, and why."""

    model_config = ConfigDict(extra="forbid")
    to: str = Field(description="staging, production or archived")
    reason: str = Field(description="Why; one line")


class StageMoveOutput(serializers.ModelSerializer[StageMove]):
    """A move. `waiting`: `approval` is the number of the request that decides it."""

    moved_by = serializers.CharField(source="moved_by.email", default=None)

    class Meta:
        model = StageMove
        fields = [
            "id", "old", "new", "state", "reason", "error", "approval", "moved_by", "created_at",
            "ended_at",
        ]  # fmt: skip


class StageMoveListApi(ListAPIView[StageMove]):
    """Moves of a version, newest first."""

    serializer_class = StageMoveOutput
    pagination_class = Page
    queryset = StageMove.objects.none()

    def get_queryset(self) -> Any:
        version = _version(self.request, self.kwargs["pk"])
        return version.stage_moves.select_related("moved_by").order_by("-id")

    @extend_schema(
        request=request_schema(StageInput),
        responses={200: StageMoveOutput, 202: StageMoveOutput},
    )
    def post(self, request: Request, pk: int) -> Response:
        """200: it is done. 202: it waits for the approvals that policy wants."""
        actor: Any = request.user
        given = parse(StageInput, request.data)
        move = version_stage_move(
            actor=actor, version=_version(request, pk), to=given.to, reason=given.reason
        )
        waits = move.state == MoveState.WAITING
        return Response(StageMoveOutput(move).data, status=202 if waits else 200)


class StageMoveWithdrawApi(APIView):
    """Take back the move that waits."""

    @extend_schema(request=None, responses=StageMoveOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        rows = _version(request, pk).stage_moves.select_related("version__model", "moved_by")
        move = rows.filter(state=MoveState.WAITING).first()
        if move is None:
            raise NotFound
        return Response(StageMoveOutput(stage_move_withdraw(actor=actor, move=move)).data)


def _version(request: Request, pk: int) -> ModelVersion:
    actor: Any = request.user
    return selectors.version_get(actor=actor, version_id=pk)
