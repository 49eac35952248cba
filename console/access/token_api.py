"""The API of API tokens: one's own, made, replaced and revoked."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.access import selectors
from console.access.models import ApiToken, User
from console.access.services import token_create, token_revoke, token_rotate
from console.access.services.tokens import GRACE_MINUTES, LONGEST_DAYS, LONGEST_GRACE_MINUTES
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse


class TokenInput(BaseModel):
    """A new token: read, infer, write, deploy, approve, admin are the scopes."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=120)
    scopes: list[str] = Field(min_length=1, max_length=20)
    team: str = Field("", description="Bind it to one team")
    expires_in_days: int | None = Field(90, ge=1, le=LONGEST_DAYS)


class RotateInput(BaseModel):
    """How long the old secret works on."""

    model_config = ConfigDict(extra="forbid")
    grace_minutes: int = Field(GRACE_MINUTES, ge=0, le=LONGEST_GRACE_MINUTES)


class TokenOutput(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    url = serializers.SerializerMethodField()

    class Meta:
        model = ApiToken
        fields = [
            "id", "url", "name", "prefix", "scopes", "team", "created_at", "expires_at",
            "last_used_at", "revoked_at",
        ]  # fmt: skip

    def get_url(self, row: ApiToken) -> str:
        return reverse("api_token_detail", args=[row.pk])


class NewTokenOutput(TokenOutput):
    """A token with its secret, which is shown this once."""

    secret = serializers.CharField()

    class Meta(TokenOutput.Meta):
        fields = [*TokenOutput.Meta.fields, "secret"]


def _actor(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user


def _with_secret(token: ApiToken, secret: str) -> Response:
    response = created({**TokenOutput(token).data, "secret": secret})
    response["Cache-Control"] = "no-store"
    return response


class TokenListApi(ListAPIView[ApiToken]):
    """Your tokens, newest first."""

    serializer_class = TokenOutput
    pagination_class = Page
    queryset = ApiToken.objects.none()

    def get_queryset(self) -> Any:
        return selectors.token_list(actor=_actor(self.request))

    @extend_schema(request=request_schema(TokenInput), responses={201: NewTokenOutput})
    def post(self, request: Request) -> Response:
        actor = _actor(request)
        given = parse(TokenInput, request.data)
        token, secret = token_create(
            actor=actor,
            name=given.name,
            scopes=given.scopes,
            team=team_named(actor, given.team) if given.team else None,
            expires_in_days=given.expires_in_days,
        )
        return _with_secret(token, secret)


class TokenDetailApi(APIView):
    """One of your tokens. DELETE revokes it at once; it stays in the list."""

    @extend_schema(responses=TokenOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(TokenOutput(selectors.token_get(actor=_actor(request), token_id=pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        actor = _actor(request)
        token_revoke(actor=actor, token=selectors.token_get(actor=actor, token_id=pk))
        return Response(status=204)


class TokenRotateApi(APIView):
    """A new secret; the old one works on for `grace_minutes`."""

    @extend_schema(request=request_schema(RotateInput), responses={201: NewTokenOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor = _actor(request)
        given = parse(RotateInput, request.data or {})
        token = selectors.token_get(actor=actor, token_id=pk)
        return _with_secret(
            *token_rotate(actor=actor, token=token, grace_minutes=given.grace_minutes)
        )
