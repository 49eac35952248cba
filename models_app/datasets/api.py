"""The API of datasets, their versions and their documents."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError
from models_app.core.pagination import Page
from models_app.core.parsers import StrictJSONParser
from models_app.core.responses import accepted, created
from models_app.core.schema import json_schema, object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.datasets import selectors
from models_app.datasets.importing import MOST_FILES, ImportOptions
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.policy import MEASURES
from models_app.datasets.rows import rows_of_finding, rows_search
from models_app.datasets.services import (
    dataset_create,
    dataset_describe,
    version_import_files,
    version_import_path,
    version_import_uploads,
    version_reimport,
)
from models_app.datasets.states import QualityState
from models_app.datasets.uploads import StoredFile, stream_uploads

KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Repeats answer the same job"
)


class DatasetInput(BaseModel):
    """A new dataset."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    name: str
    description: str = ""


class DatasetChange(BaseModel):
    """What can be changed about a dataset."""

    model_config = ConfigDict(extra="forbid")
    description: str


class PathImport(ImportOptions):
    """A version from the server's import directory."""

    path: str = Field(description="A file or a directory inside the import directory")


class UploadImport(ImportOptions):
    """A version of files that were sent in pieces."""

    uploads: list[UUID] = Field(
        max_length=MOST_FILES, description="Keys of finished uploads of the dataset's team"
    )


class DatasetOutput(serializers.ModelSerializer[Dataset]):
    """A dataset."""

    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.email", default=None)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ["id", "url", "team", "name", "description", "created_by", "created_at"]

    def get_url(self, row: Dataset) -> str:
        return reverse("api_dataset_detail", args=[row.pk])


class DatasetVersionOutput(serializers.ModelSerializer[DatasetVersion]):
    """A version without its documents."""

    dataset_name = serializers.CharField(source="dataset.name")
    team = serializers.CharField(source="dataset.team.slug")
    job = serializers.IntegerField(source="produced_by_id")
    counts = serializers.DictField()
    quality = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "url", "team", "dataset", "dataset_name", "number", "state", "error", "digest",
            "counts", "seed", "validation_fraction", "parent", "config_revision", "quality", "job",
            "created_at",
        ]  # fmt: skip

    def get_url(self, row: DatasetVersion) -> str:
        return reverse("api_dataset_version", args=[row.pk])

    def get_quality(self, row: DatasetVersion) -> str:
        quality = getattr(row, "quality", None)
        return str(quality.state) if quality else str(QualityState.UNCHECKED)


class DatasetVersionDetailOutput(DatasetVersionOutput):
    """A version with preview, sources, files and what it was made by."""

    source = serializers.DictField()  # type: ignore[assignment]
    manifest = serializers.DictField()
    preview = serializers.ListField(child=serializers.DictField())

    class Meta(DatasetVersionOutput.Meta):
        fields = [*DatasetVersionOutput.Meta.fields, "source", "manifest", "preview"]


def _one_of(*models: type[BaseModel]) -> dict[str, Any]:
    """A body of which exactly one model is meant; what all of them have in common once."""
    parts = [json_schema(model) for model in models]
    fields = {name: value for part in parts for name, value in part["properties"].items()}
    return {"type": "object", "properties": fields}


class DatasetListApi(ListAPIView[Dataset]):
    """Datasets of your teams."""

    serializer_class = DatasetOutput
    pagination_class = Page
    queryset = Dataset.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.dataset_list(
            actor=actor, team=query.get("team", ""), name=query.get("name", "")
        )

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in ("team", "name")])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(DatasetInput), responses={201: DatasetOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(DatasetInput, request.data)
        dataset = dataset_create(
            actor=actor, team=team_named(actor, given.team), name=given.name,
            description=given.description,
        )  # fmt: skip
        return created(DatasetOutput(dataset).data)


class DatasetDetailApi(APIView):
    """One dataset."""

    @extend_schema(responses=DatasetOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(DatasetOutput(selectors.dataset_get(actor=actor, dataset_id=pk)).data)

    @extend_schema(request=request_schema(DatasetChange), responses=DatasetOutput)
    def patch(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        dataset = selectors.dataset_get(actor=actor, dataset_id=pk)
        given = parse(DatasetChange, request.data)
        dataset_describe(actor=actor, dataset=dataset, description=given.description)
        return Response(DatasetOutput(dataset).data)


class VersionListApi(ListAPIView[DatasetVersion]):
    """Versions of a dataset; a new one comes from uploaded files or from a path."""

    serializer_class = DatasetVersionOutput
    pagination_class = Page
    queryset = DatasetVersion.objects.none()
    parser_classes = [StrictJSONParser, MultiPartParser]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        stream_uploads(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        dataset = selectors.dataset_get(actor=actor, dataset_id=self.kwargs["pk"])
        state = self.request.query_params.get("state", "")
        return selectors.version_list(actor=actor, dataset=dataset, state=state)

    @extend_schema(parameters=[OpenApiParameter("state", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[KEY],
        request={
            "application/json": _one_of(PathImport, UploadImport),
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    **json_schema(ImportOptions)["properties"],
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                },
                "required": ["files"],
            },
        },
        responses={202: DatasetVersionOutput},
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        dataset = selectors.dataset_get(actor=actor, dataset_id=pk)
        key = request.headers.get("Idempotency-Key")
        if (request.content_type or "").startswith("multipart/"):
            version = version_import_files(
                actor=actor, dataset=dataset, files=_files(request), idempotency_key=key,
                options=parse(ImportOptions, _fields(request)),
            )  # fmt: skip
        elif isinstance(request.data, dict) and "uploads" in request.data:
            sent = parse(UploadImport, request.data)
            version = version_import_uploads(
                actor=actor, dataset=dataset, uploads=sent.uploads, idempotency_key=key,
                options=ImportOptions(**sent.model_dump(exclude={"uploads"})),
            )  # fmt: skip
        else:
            given = parse(PathImport, request.data)
            version = version_import_path(
                actor=actor, dataset=dataset, path=given.path, idempotency_key=key,
                options=ImportOptions(**given.model_dump(exclude={"path"})),
            )  # fmt: skip
        return accepted(DatasetVersionOutput(version).data)


class VersionDetailApi(APIView):
    """One version with counts, preview, sources and files."""

    @extend_schema(responses=DatasetVersionDetailOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        return Response(DatasetVersionDetailOutput(version).data)


class VersionRowsApi(APIView):
    """Documents of a split; those that hold a text; or those behind a figure of the report.

    `next_offset` is where to go on, null at the end. A search reads a bounded part at a time, so an
    answer without rows may have a `next_offset`.
    """

    @extend_schema(
        parameters=[
            OpenApiParameter("split", str, enum=list(selectors.SPLITS)),
            OpenApiParameter("q", str, description="Only documents that hold this text"),
            OpenApiParameter("finding", str, enum=list(MEASURES)),
            OpenApiParameter("offset", int),
            OpenApiParameter("limit", int),
        ],
        responses=object_schema(
            "A window of documents",
            split="string",
            offset="integer",
            next_offset={"type": "integer", "nullable": True},
            total="integer",
            rows={"type": "array", "items": {"type": "object"}},
        ),
    )
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        query = request.query_params
        split, finding, text = query.get("split", ""), query.get("finding", ""), query.get("q", "")
        offset, limit = whole(query, "offset", 0), whole(query, "limit", 50)
        total = version.counts.get(split or "train", {}).get("documents", 0)
        after: int | None
        if finding:
            rows, after = rows_of_finding(
                version=version, measure=finding, split=split, offset=offset, limit=limit
            )
        elif text:
            rows, after = rows_search(
                version=version, text=text, split=split or "train", offset=offset, limit=limit
            )
        else:
            rows = selectors.version_rows(
                version=version, split=split or "train", offset=offset, limit=limit
            )
            after = offset + limit if offset + limit < total else None
        return Response(
            {
                "split": split or "train", "offset": offset, "next_offset": after, "total": total,
                "rows": rows,
            }
        )  # fmt: skip


class VersionReimportApi(APIView):
    """A new version from the same files with other options."""

    @extend_schema(request=request_schema(ImportOptions), responses={202: DatasetVersionOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        options = parse(ImportOptions, request.data) if request.data else None
        again = version_reimport(actor=actor, version=version, options=options)
        return accepted(DatasetVersionOutput(again).data)


def whole(query: Any, name: str, default: int) -> int:
    """A whole number of the query string, or FieldError."""
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 13):
        raise FieldError(name, _("Use a whole number from 0."))
    return int(text)


def _files(request: Request) -> list[dict[str, Any]]:
    unknown = [name for name in request.FILES if name != "files"]
    if unknown:
        raise FieldError(unknown[0], _("Send files in the field `files`."))
    return [file.entry() for file in request.FILES.getlist("files") if isinstance(file, StoredFile)]


def _fields(request: Request) -> dict[str, Any]:
    data: Any = request.data
    return {name: data[name] for name in data if name not in request.FILES and data[name] != ""}
