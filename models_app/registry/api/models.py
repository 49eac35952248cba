"""Models: list, make, read, describe."""

from typing import Any

from django.db.models import prefetch_related_objects
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.models import Model
from models_app.registry.selectors import ALIASES
from models_app.registry.services import model_create, model_describe


class ModelInput(BaseModel):
    """A new model."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    name: str
    description: str = ""
    family: str = Field("transformer", description="transformer, or adapter (LoRA)")


class ModelChange(BaseModel):
    """What can be changed about a model."""

    model_config = ConfigDict(extra="forbid")
    description: str


class ModelOutput(serializers.ModelSerializer[Model]):
    """A model."""

    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.email", default=None)
    url = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField(help_text="Name to number of the version")

    class Meta:
        model = Model
        fields = [
            "id", "url", "team", "name", "family", "description", "aliases", "created_by",
            "created_at",
        ]  # fmt: skip

    def get_aliases(self, row: Model) -> dict[str, int]:
        # Of a list they are there already; of one model they come now, in one query.
        prefetch_related_objects([row], ALIASES)
        return {alias.name: alias.version.number for alias in row.aliases.all()}

    def get_url(self, row: Model) -> str:
        return reverse("api_model_detail", args=[row.pk])


class ModelListApi(ListAPIView[Model]):
    """Models of your teams."""

    serializer_class = ModelOutput
    pagination_class = Page
    queryset = Model.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.model_list(
            actor=actor, team=query.get("team", ""), name=query.get("name", "")
        )

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in ("team", "name")])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(ModelInput), responses={201: ModelOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(ModelInput, request.data)
        model = model_create(
            actor=actor, team=team_named(actor, given.team), name=given.name,
            description=given.description, family=given.family,
        )  # fmt: skip
        return created(ModelOutput(model).data)


class ModelDetailApi(APIView):
    """One model."""

    @extend_schema(responses=ModelOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(ModelOutput(selectors.model_get(actor=actor, model_id=pk)).data)

    @extend_schema(request=request_schema(ModelChange), responses=ModelOutput)
    def patch(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        model = selectors.model_get(actor=actor, model_id=pk)
        given = parse(ModelChange, request.data)
        model_describe(actor=actor, model=model, description=given.description)
        return Response(ModelOutput(model).data)
