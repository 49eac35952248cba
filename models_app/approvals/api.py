"""The API of approvals and of the environments whose policies demand them."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.approvals import selectors
from models_app.approvals.models import ApprovalRequest, Environment, Vote
from models_app.approvals.services import (
    approval_vote,
    approval_withdraw,
    environment_policy_change,
)
from models_app.approvals.states import RequestState
from models_app.core.errors import FieldError, NotFound
from models_app.core.names import one_of
from models_app.core.pagination import Page
from models_app.core.schema import request_schema
from models_app.core.validation import parse

WHOSE = ("me", "mine", "all")


class VoteInput(BaseModel):
    """A decision. A rejection needs a comment."""

    model_config = ConfigDict(extra="forbid")
    decision: str = Field(description="approve or reject")
    comment: str = ""


class PolicyInput(BaseModel):
    """Who must agree; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")
    protected: bool | None = None
    required_approvals: int | None = None
    expires_after_h: int | None = None


class VoteOutput(serializers.ModelSerializer[Vote]):
    """One person's decision."""

    user = serializers.CharField(source="user.email")

    class Meta:
        model = Vote
        fields = ["id", "user", "decision", "comment", "created_at"]


class ApprovalOutput(serializers.ModelSerializer[ApprovalRequest]):
    """A request with its votes. `subject_digest` is exactly what is approved."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    environment = serializers.CharField(source="environment.name")
    requested_by = serializers.CharField(source="created_by.email", default=None)
    votes = VoteOutput(many=True)

    class Meta:
        model = ApprovalRequest
        fields = [
            "id", "url", "team", "environment", "subject_type", "subject_id", "subject_digest",
            "policy_version", "title", "reason", "state", "required", "requested_by", "created_at",
            "expires_at", "decided_at", "votes",
        ]  # fmt: skip

    def get_url(self, row: ApprovalRequest) -> str:
        return reverse("api_approval_detail", args=[row.pk])


class EnvironmentOutput(serializers.ModelSerializer[Environment]):
    """An environment with its policy."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Environment
        fields = [
            "id", "url", "name", "protected", "required_approvals", "expires_after_h",
            "policy_version",
        ]  # fmt: skip

    def get_url(self, row: Environment) -> str:
        return reverse("api_environment_detail", args=[row.name])


class ApprovalListApi(ListAPIView[ApprovalRequest]):
    """Requests of your teams: `for=me` what waits for your vote, `for=mine` what you asked."""

    serializer_class = ApprovalOutput
    pagination_class = Page
    queryset = ApprovalRequest.objects.none()

    def get_queryset(self) -> Any:
        query = self.request.query_params
        whose, state = query.get("for", "all"), query.get("state", "")
        if whose not in WHOSE:
            raise FieldError("for", one_of(WHOSE))
        if state and state not in RequestState.values:
            raise FieldError("state", one_of(RequestState.values))
        actor: Any = self.request.user
        rows = selectors.approval_list(
            actor=actor, whose=whose, state=state, team=query.get("team", "")
        )
        return rows.prefetch_related("votes__user")

    @extend_schema(
        parameters=[
            OpenApiParameter("for", str, enum=WHOSE),
            OpenApiParameter("state", str, enum=RequestState.values),
            OpenApiParameter("team", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ApprovalDetailApi(APIView):
    """One request."""

    @extend_schema(responses=ApprovalOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ApprovalOutput(_approval(request, pk)).data)


class ApprovalVoteApi(APIView):
    """Approve or reject; the one who asked never may."""

    @extend_schema(request=request_schema(VoteInput), responses={201: ApprovalOutput})
    def post(self, request: Request, pk: int) -> Response:
        row = _approval(request, pk)
        given = parse(VoteInput, request.data)
        actor: Any = request.user
        approval_vote(actor=actor, request=row, decision=given.decision, comment=given.comment)
        return Response(ApprovalOutput(_approval(request, pk)).data, status=201)


class ApprovalWithdrawApi(APIView):
    """Take back what you asked for."""

    @extend_schema(request=None, responses=ApprovalOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        approval_withdraw(actor=actor, request=_approval(request, pk))
        return Response(ApprovalOutput(_approval(request, pk)).data)


class EnvironmentListApi(APIView):
    """Environments and their policies, in order."""

    @extend_schema(responses=EnvironmentOutput(many=True))
    def get(self, request: Request) -> Response:
        return Response(EnvironmentOutput(selectors.environment_list(), many=True).data)


class EnvironmentDetailApi(APIView):
    """One environment; platform admins change its policy."""

    @extend_schema(responses=EnvironmentOutput)
    def get(self, request: Request, name: str) -> Response:
        return Response(EnvironmentOutput(_environment(name)).data)

    @extend_schema(request=request_schema(PolicyInput), responses=EnvironmentOutput)
    def patch(self, request: Request, name: str) -> Response:
        row = _environment(name)
        given = parse(PolicyInput, request.data).model_dump(exclude_none=True)
        fields = ("protected", "required_approvals", "expires_after_h")
        actor: Any = request.user
        changed = environment_policy_change(
            actor=actor,
            environment=row,
            **{name: given.get(name, getattr(row, name)) for name in fields},
        )
        return Response(EnvironmentOutput(changed).data)


def _approval(request: Request, pk: int) -> ApprovalRequest:
    actor: Any = request.user
    return selectors.approval_get(actor=actor, request_id=pk)


def _environment(name: str) -> Environment:
    row = selectors.environment_list().filter(name=name).first()
    if row is None:
        raise NotFound(_("There is no such environment."))
    return row
