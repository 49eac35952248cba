"""Aliases of a model: list, read with their history, set by compare-and-swap, delete."""

import re
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.models import Alias, AliasMove, Model
from models_app.registry.naming import aliases_of, version_named
from models_app.registry.services import alias_delete, alias_set

HISTORY = 100
_ETAG = re.compile(r'"v([1-9][0-9]{0,8})"')
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description='ETag of the alias, such as "v3"'
)


class AliasInput(BaseModel):
    """Which version it shall point to, and to which it points now as far as you know."""

    model_config = ConfigDict(extra="forbid")
    version: str | int = Field(description="v3, 3, another alias, latest or a digest")
    expected: int | None = Field(
        None, description="Number of the version that it points to now; null: it is new", ge=1
    )
    reason: str = Field("", description="Why; one line")


class AliasOutput(serializers.ModelSerializer[Alias]):
    """An alias as it stands."""

    version = serializers.IntegerField(source="version.number")
    model_version = serializers.IntegerField(source="version_id")
    digest = serializers.CharField(source="version.digest")
    moved_by = serializers.CharField(source="moved_by.email", default=None)

    class Meta:
        model = Alias
        fields = ["name", "version", "model_version", "digest", "moved_by", "moved_at"]


class AliasMoveOutput(serializers.ModelSerializer[AliasMove]):
    """One move; `old` or `new` is null when the alias was made or deleted."""

    old = serializers.IntegerField(source="old.number", default=None)
    new = serializers.IntegerField(source="new.number", default=None)
    moved_by = serializers.CharField(source="moved_by.email", default=None)

    class Meta:
        model = AliasMove
        fields = ["old", "new", "moved_by", "moved_at", "reason"]


class AliasWithHistory(AliasOutput):
    """An alias with its newest moves."""

    history = AliasMoveOutput(many=True)

    class Meta(AliasOutput.Meta):
        fields = [*AliasOutput.Meta.fields, "history"]


class AliasListApi(APIView):
    """The aliases of a model, by name."""

    @extend_schema(responses=AliasOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return Response(AliasOutput(aliases_of(_model(request, pk)), many=True).data)


class AliasDetailApi(APIView):
    """One alias. Its ETag is the version that it points to, for If-Match."""

    @extend_schema(responses=AliasWithHistory)
    def get(self, request: Request, pk: int, name: str) -> Response:
        return _answer(_alias(_model(request, pk), name))

    @extend_schema(
        request=request_schema(AliasInput), responses=AliasWithHistory, parameters=[IF_MATCH]
    )
    def put(self, request: Request, pk: int, name: str) -> Response:
        """409 where it points elsewhere than `expected` or If-Match say; look again then."""
        actor: Any = request.user
        model = _model(request, pk)
        given = parse(AliasInput, request.data)
        try:
            version = version_named(model=model, name=str(given.version))
        except NotFound as error:
            raise FieldError("version", error.message) from None
        header = request.headers.get("If-Match")
        alias_set(
            actor=actor,
            model=model,
            name=name,
            version=version,
            expected=_expected(header) if header else given.expected,
            reason=given.reason,
        )
        return _answer(_alias(model, name))

    @extend_schema(responses={204: None}, parameters=[IF_MATCH, OpenApiParameter("expected", int)])
    def delete(self, request: Request, pk: int, name: str) -> Response:
        """Needs `expected` or If-Match as well."""
        actor: Any = request.user
        header = request.headers.get("If-Match")
        text = f'"v{request.query_params.get("expected", "")}"'
        expected = _expected(header or text)
        alias_delete(actor=actor, model=_model(request, pk), name=name, expected=expected)
        return Response(status=204)


def _expected(etag: str) -> int:
    found = _ETAG.fullmatch(etag)
    if found is None:
        said = _('Say which version it points to now: the number, or If-Match: "v3".')
        raise FieldError("expected", said)
    return int(found[1])


def _answer(alias: Alias) -> Response:
    moves = AliasMove.objects.filter(model=alias.model_id, name=alias.name)
    alias.history = list(moves.select_related("old", "new", "moved_by")[:HISTORY])  # type: ignore[attr-defined]
    return Response(AliasWithHistory(alias).data, headers={"ETag": f'"v{alias.version.number}"'})


def _model(request: Request, pk: int) -> Model:
    actor: Any = request.user
    return selectors.model_get(actor=actor, model_id=pk)


def _alias(model: Model, name: str) -> Alias:
    rows = Alias.objects.select_related("version", "moved_by", "model")
    alias = rows.filter(model=model, name=name).first()
    if alias is None:
        raise NotFound(_("%(model)s has no alias %(name)s.") % {"model": model, "name": name})
    return alias
