"""The API of uploads in pieces."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.storage import selectors
from models_app.storage.models import Upload
from models_app.storage.uploads import (
    partial_of,
    upload_append,
    upload_drop,
    upload_finish,
    upload_start,
)

OFFSET = OpenApiParameter(
    "Upload-Offset", int, OpenApiParameter.HEADER, required=True,
    description="Where the piece begins: how many bytes have come so far",
)  # fmt: skip


class UploadInput(BaseModel):
    """A file that will be sent."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    name: str = Field(description="Name of the file")
    size: int = Field(description="Bytes")
    sha256: str = Field("", description="Digest of the whole file, compared at the end")


class UploadOutput(serializers.ModelSerializer[Upload]):
    """An upload; `offset` is where the next piece begins."""

    key = serializers.UUIDField()
    team = serializers.CharField(source="team.slug")
    offset = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = [
            "key", "url", "team", "name", "size", "offset", "sha256", "state", "created_at",
        ]  # fmt: skip

    def get_offset(self, row: Upload) -> int:
        return row.size if row.state == "done" else partial_of(row).offset

    def get_url(self, row: Upload) -> str:
        return reverse("api_upload_detail", args=[row.key])


class PieceParser(BaseParser):
    """Bytes as they are; they are read from the request as they are needed."""

    media_type = "application/offset+octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return stream


class UploadListApi(ListAPIView[Upload]):
    """Uploads of your teams; a new one is announced with its name and size."""

    serializer_class = UploadOutput
    pagination_class = Page
    queryset = Upload.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return selectors.upload_list(actor=actor)

    @extend_schema(request=request_schema(UploadInput), responses={201: UploadOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(UploadInput, request.data)
        upload = upload_start(
            actor=actor, team=team_named(actor, given.team), name=given.name, size=given.size,
            sha256=given.sha256,
        )  # fmt: skip
        return _told(upload, created)


class UploadDetailApi(APIView):
    """One upload: how far it is, its next piece, its end."""

    parser_classes = [PieceParser]

    @extend_schema(responses=UploadOutput)
    def get(self, request: Request, key: Any) -> Response:
        actor: Any = request.user
        return _told(selectors.upload_get(actor=actor, key=key))

    @extend_schema(
        parameters=[OFFSET],
        request={PieceParser.media_type: OpenApiTypes.BINARY},
        responses=UploadOutput,
    )
    def patch(self, request: Request, key: Any) -> Response:
        actor: Any = request.user
        upload = selectors.upload_get(actor=actor, key=key)
        offset = _offset(request.headers.get("Upload-Offset", ""))
        stream: Any = request.data
        if isinstance(stream, dict):  # no body
            raise FieldError("body", _("Send the bytes of the piece."))
        upload_append(actor=actor, upload=upload, offset=offset, stream=stream)
        return _told(upload)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, key: Any) -> Response:
        actor: Any = request.user
        upload_drop(actor=actor, upload=selectors.upload_get(actor=actor, key=key))
        return Response(status=204)


class UploadFinishApi(APIView):
    """The last byte has come: the file is compared and stored."""

    @extend_schema(request=None, responses=UploadOutput)
    def post(self, request: Request, key: Any) -> Response:
        actor: Any = request.user
        upload = selectors.upload_get(actor=actor, key=key)
        return _told(upload_finish(actor=actor, upload=upload))


def _told(upload: Upload, answer: Any = Response) -> Response:
    data = UploadOutput(upload).data
    response: Response = answer(data)
    response["Upload-Offset"] = str(data["offset"])
    return response


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise FieldError("Upload-Offset", _("Use a whole number from 0."))
    return int(text)
