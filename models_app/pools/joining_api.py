"""The API of joining: tokens for admins, and the two calls that a new machine makes itself."""

import base64
import binascii
import datetime as dt
from typing import Any

from django.core.cache import cache
from django.urls import path, reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from redis import RedisError
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.context import current
from models_app.core.errors import SlipwayError
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.pools import joining
from models_app.pools.access import console_url, node_access, require_version
from models_app.pools.models import JoinToken

#: Refused tries from one address before it has to wait.
TRIES, WINDOW_S = 20, 60


class JoinTokenInput(BaseModel):
    """A new join token: the node that uses it gets these labels."""

    model_config = ConfigDict(extra="forbid")
    note: str = Field("", max_length=200, description="Which machine it is for")
    labels: dict[str, str] = Field(default_factory=dict)
    expires_in_hours: float = Field(24, ge=0.1, le=720)


class CheckoutInput(BaseModel):
    """What the machine's checkout speaks and knows."""

    model_config = ConfigDict(extra="forbid")
    protocol: int = Field(ge=1, le=1000)
    migrations: dict[str, str] = Field(
        default_factory=dict, max_length=50, description="The newest migration of each app"
    )


class JoinInput(CheckoutInput):
    """A machine that wants to join."""

    token: str = Field(max_length=200)
    name: str = Field(max_length=100, description="Its name; a taken one gets a number")
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)


class JoinTokenOutput(serializers.ModelSerializer[JoinToken]):
    """A join token without its text."""

    labels = serializers.DictField(child=serializers.CharField())
    created_by = serializers.CharField(source="created_by.email", default=None, allow_null=True)
    used_by = serializers.CharField(source="used_by.name", default=None, allow_null=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = JoinToken
        fields = [
            "id", "url", "note", "labels", "created_by", "created_at", "expires_at", "used_at",
            "used_by", "revoked_at",
        ]  # fmt: skip

    def get_url(self, row: JoinToken) -> str:
        return reverse("api_join_token_detail", args=[row.pk])


class NewJoinTokenOutput(JoinTokenOutput):
    """A join token with its text and the command to give on the new machine, this once."""

    token = serializers.CharField()
    command = serializers.CharField()

    class Meta(JoinTokenOutput.Meta):
        fields = [*JoinTokenOutput.Meta.fields, "token", "command"]


class NodeAccessOutput(serializers.Serializer[Any]):
    """What a node needs to work."""

    protocol = serializers.IntegerField()
    name = serializers.CharField()
    database_url = serializers.CharField()
    redis_url = serializers.CharField()
    replica_key = serializers.CharField()


class JoinOutput(NodeAccessOutput):
    """The same with the secret of the new node, which is given this once."""

    secret = serializers.CharField()


class JoinTokenListApi(ListAPIView[JoinToken]):
    """Join tokens, newest first; for platform admins."""

    serializer_class = JoinTokenOutput
    pagination_class = Page
    queryset = JoinToken.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return joining.join_token_list(actor=actor)

    @extend_schema(request=request_schema(JoinTokenInput), responses={201: NewJoinTokenOutput})
    def post(self, request: Request) -> Response:
        given = parse(JoinTokenInput, request.data)
        actor: Any = request.user
        token, text = joining.join_token_create(
            actor=actor,
            note=given.note,
            labels=given.labels,
            ttl=dt.timedelta(hours=given.expires_in_hours),
        )
        command = join_command(text)
        response = created({**JoinTokenOutput(token).data, "token": text, "command": command})
        response["Cache-Control"] = "no-store"
        return response


class JoinTokenDetailApi(APIView):
    """One join token. DELETE revokes it; it stays in the list."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        joining.join_token_revoke(actor=actor, token_id=pk)
        return Response(status=204)


class NodeJoinApi(APIView):
    """A new machine joins with a token, without signing in. It gets its name and its secret."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(request=request_schema(JoinInput), responses={201: JoinOutput}, auth=[])
    def post(self, request: Request) -> Response:
        given = parse(JoinInput, request.data)
        require_version(given.protocol, given.migrations)
        access = node_access()  # before the token is spent
        with _Patience():
            node, secret = joining.node_join(
                token=given.token, name=given.name, labels=given.labels
            )
        response = Response({**access, "name": node.name, "secret": secret}, status=201)
        response["Cache-Control"] = "no-store"
        return response


class NodeAccessApi(APIView):
    """A joined node asks anew for its addresses, with `Authorization: Basic <name:secret>`."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(request=request_schema(CheckoutInput), responses=NodeAccessOutput, auth=[])
    def post(self, request: Request) -> Response:
        with _Patience():
            name, secret = basic_credentials(request.headers.get("authorization", ""))
            node = joining.node_authenticate(name=name, secret=secret)
        given = parse(CheckoutInput, request.data)
        require_version(given.protocol, given.migrations)
        response = Response({**node_access(), "name": node.name})
        response["Cache-Control"] = "no-store"
        return response


class _Patience:
    """Counts refusals by address: who guesses has to wait, who is right never does."""

    def __enter__(self) -> None:
        self.key = f"join-refused:{current.get().ip}"
        try:
            if (cache.get(self.key) or 0) >= TRIES:
                raise Throttled(WINDOW_S)
        except RedisError as error:
            raise SlipwayError(_("Redis is not reachable. Nodes join when it is back.")) from error

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, joining.JoinRefused | joining.NodeRefused):
            cache.add(self.key, 0, timeout=WINDOW_S)
            try:
                cache.incr(self.key)
            except ValueError:  # it ran out at this very moment
                cache.set(self.key, 1, timeout=WINDOW_S)


def basic_credentials(header: str) -> tuple[str, str]:
    """Name and secret of an `Authorization: Basic` header; empty where there are none."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name.replace("\x00", ""), secret


def join_command(text: str) -> str:
    """What to paste into a terminal on the new machine."""
    return f"make worker JOIN={console_url()} TOKEN={text}"


urlpatterns = [
    path("nodes/join", NodeJoinApi.as_view(), name="api_node_join"),
    path("nodes/access", NodeAccessApi.as_view(), name="api_node_access"),
    path("join-tokens", JoinTokenListApi.as_view(), name="api_join_token_list"),
    path("join-tokens/<int:pk>", JoinTokenDetailApi.as_view(), name="api_join_token_detail"),
]
