"""Tags of models, versions and runs: read with their authors, set and taken away."""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.run_selectors import run_get
from models_app.registry.services import tags_change
from models_app.registry.services.tags import Tagged
from models_app.registry.tags import Tag


class TagsInput(BaseModel):
    """Names with their new values; null takes a tag away. Others stay."""

    model_config = ConfigDict(extra="forbid")
    tags: dict[str, str | None] = Field(max_length=200)


class TagOutput(serializers.ModelSerializer[Tag]):
    """A tag, and who set it."""

    set_by = serializers.CharField(source="set_by.email", default=None)

    class Meta:
        model = Tag
        fields = ["name", "value", "set_by", "set_at"]


class TagsApi(APIView):
    """Tags by name."""

    def thing(self, pk: int) -> Tagged:
        """What carries them, or NotFound."""
        raise NotImplementedError

    @extend_schema(responses=TagOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return self._answer(self.thing(pk))

    @extend_schema(request=request_schema(TagsInput), responses=TagOutput(many=True))
    def patch(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        thing = self.thing(pk)
        tags_change(actor=actor, thing=thing, tags=parse(TagsInput, request.data).tags)
        return self._answer(thing)

    def _answer(self, thing: Tagged) -> Response:
        rows = thing.tags.select_related("set_by").order_by("name")
        return Response(TagOutput(rows, many=True).data)


class ModelTagsApi(TagsApi):
    """Tags of a model."""

    def thing(self, pk: int) -> Tagged:
        actor: Any = self.request.user
        return selectors.model_get(actor=actor, model_id=pk)


class VersionTagsApi(TagsApi):
    """Tags of a version."""

    def thing(self, pk: int) -> Tagged:
        actor: Any = self.request.user
        return selectors.version_get(actor=actor, version_id=pk)


class RunTagsApi(TagsApi):
    """Tags of a training run; searches can look at them."""

    def thing(self, pk: int) -> Tagged:
        actor: Any = self.request.user
        return run_get(actor=actor, run_id=pk).job
