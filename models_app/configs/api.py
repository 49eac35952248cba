"""The API of configurations, their revisions, the differences and the schemas of their contents."""

from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs import presets, selectors
from models_app.configs.models import Config, ConfigRevision
from models_app.configs.services import config_revise
from models_app.configs.specs import spec_class
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import json_schema, object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse


class ConfigInput(BaseModel):
    """A new configuration, or a new revision of the one that has this name."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    kind: str = Field(description="training or serving")
    name: str
    spec: dict[str, Any] = Field(description="See configs/schema/{kind}")
    reason: str = Field("", description="Why; one line")


class RevisionInput(BaseModel):
    """A new revision."""

    model_config = ConfigDict(extra="forbid")
    spec: dict[str, Any]
    reason: str = ""


class ConfigOutput(serializers.ModelSerializer[Config]):
    """A configuration."""

    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.email", default=None)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Config
        fields = ["id", "url", "team", "kind", "name", "created_by", "created_at"]

    def get_url(self, row: Config) -> str:
        return reverse("api_config_detail", args=[row.pk])


class RevisionOutput(serializers.ModelSerializer[ConfigRevision]):
    """An immutable revision with its contents."""

    config_name = serializers.CharField(source="config.name")
    kind = serializers.CharField(source="config.kind")
    author = serializers.CharField(source="author.email", default=None)
    spec = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = ConfigRevision
        fields = [
            "id", "url", "config", "config_name", "kind", "number", "spec", "digest", "reason",
            "author", "created_at",
        ]  # fmt: skip

    def get_url(self, row: ConfigRevision) -> str:
        return reverse("api_config_revision", args=[row.pk])


class ConfigListApi(ListAPIView[Config]):
    """Configurations of your teams; making one stores its first revision."""

    serializer_class = ConfigOutput
    pagination_class = Page
    queryset = Config.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.config_list(
            actor=actor,
            team=query.get("team", ""),
            kind=query.get("kind", ""),
            name=query.get("name", ""),
        )

    @extend_schema(
        parameters=[OpenApiParameter(name, str) for name in ("team", "kind", "name")],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(ConfigInput), responses={201: RevisionOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(ConfigInput, request.data)
        revision = config_revise(
            actor=actor,
            team=team_named(actor, given.team),
            kind=given.kind,
            name=given.name,
            spec=given.spec,
            reason=given.reason,
        )
        return created(RevisionOutput(revision).data)


class ConfigDetailApi(APIView):
    """One configuration."""

    @extend_schema(responses=ConfigOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(ConfigOutput(selectors.config_get(actor=actor, config_id=pk)).data)


class RevisionListApi(ListAPIView[ConfigRevision]):
    """Revisions of a configuration, newest first."""

    serializer_class = RevisionOutput
    pagination_class = Page
    queryset = ConfigRevision.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        config = selectors.config_get(actor=actor, config_id=self.kwargs["pk"])
        return selectors.revision_list(actor=actor, config=config)

    @extend_schema(request=request_schema(RevisionInput), responses={201: RevisionOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(RevisionInput, request.data)
        config = selectors.config_get(actor=actor, config_id=pk)
        revision = config_revise(
            actor=actor, team=config.team, kind=config.kind, name=config.name,
            spec=given.spec, reason=given.reason,
        )  # fmt: skip
        return created(RevisionOutput(revision).data)


class RevisionDetailApi(APIView):
    """One revision."""

    @extend_schema(responses=RevisionOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(RevisionOutput(selectors.revision_get(actor=actor, revision_id=pk)).data)


class RevisionDiffApi(APIView):
    """What changed from one revision to another: path, old and new value."""

    @extend_schema(
        responses=object_schema(
            "The two revisions and their differences",
            old={"type": "integer"},
            new={"type": "integer"},
            changes={"type": "array", "items": {"type": "object"}},
        )
    )
    def get(self, request: Request, pk: int, other: int) -> Response:
        actor: Any = request.user
        old = selectors.revision_get(actor=actor, revision_id=pk)
        new = selectors.revision_get(actor=actor, revision_id=other)
        changes = [change.to_dict() for change in selectors.revision_diff(old=old, new=new)]
        return Response({"old": old.pk, "new": new.pk, "changes": changes})


class SpecSchemaApi(APIView):
    """The JSON Schema of the contents of a kind of configuration."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, kind: str) -> Response:
        return Response(json_schema(spec_class(kind)))


class PresetListApi(APIView):
    """Model shapes that a training can start from."""

    @extend_schema(
        responses=object_schema(
            "Shapes, smallest first", presets={"type": "array", "items": {"type": "object"}}
        )
    )
    def get(self, request: Request) -> Response:
        rows = [
            {
                "name": preset.name,
                "label": preset.label,
                "parameters": preset.parameters,
                "vocab_size": preset.vocab_size,
                "sequence_length": preset.sequence_length,
                "architecture": dict(preset.architecture),
            }
            for preset in presets.preset_list()
        ]
        return Response({"presets": rows})
