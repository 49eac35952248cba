"""Model cards: the generated text of a version, and the words a person wrote, by revision."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.core.pagination import Page
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.api.versions import VersionApi
from models_app.registry.cards import card_text
from models_app.registry.models import CardText
from models_app.registry.services import card_write


class CardInput(BaseModel):
    """The words of a card; figures are generated and cannot be given."""

    model_config = ConfigDict(extra="forbid")
    body: str = Field("", description="Markdown")
    license: str = ""
    languages: list[str] = []
    tags: list[str] = []


class CardTextOutput(serializers.ModelSerializer[CardText]):
    """One revision of the words."""

    author = serializers.CharField(source="author.email", default=None)
    languages = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = CardText
        fields = ["number", "license", "languages", "tags", "body", "author", "created_at"]


class CardTextsApi(ListAPIView[CardText]):
    """Revisions of the words of a model's card, newest first; POST writes the next one."""

    serializer_class = CardTextOutput
    pagination_class = Page
    queryset = CardText.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        model = selectors.model_get(actor=actor, model_id=self.kwargs["pk"])
        return model.card_texts.select_related("author").order_by("-id")

    @extend_schema(request=request_schema(CardInput), responses={200: CardTextOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        model = selectors.model_get(actor=actor, model_id=pk)
        given = parse(CardInput, request.data)
        return Response(CardTextOutput(card_write(actor=actor, model=model, **dict(given))).data)


class CardApi(VersionApi):
    """The card of a version, in Markdown with a head of YAML."""

    @extend_schema(responses={(200, "text/markdown"): OpenApiTypes.STR})
    def get(self, request: Request, pk: int) -> HttpResponse:
        text = card_text(self.version(pk))
        return HttpResponse(text, content_type="text/markdown; charset=utf-8")
