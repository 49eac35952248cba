"""Model versions: list, read, provenance, files, comparison, quarantine."""

from typing import Any

from django.http import FileResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.pagination import Page
from models_app.core.reading import blob_reader
from models_app.core.schema import object_schema, request_schema
from models_app.core.serializing import RowSerializer, row_url
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.comparison import version_compare
from models_app.registry.models import ModelVersion
from models_app.registry.services import (
    version_note,
    version_quarantine,
    version_restore,
)

#: Of whatever makes a version.
KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Repeats answer the same version"
)


class VersionChange(BaseModel):
    """What can be changed about a version."""

    model_config = ConfigDict(extra="forbid")
    notes: str


class Reason(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")
    reason: str


class QuarantineInput(Reason):
    """Why, and whether deployments that serve the version are stopped with it."""

    stop_serving: bool = False


class ModelVersionOutput(RowSerializer[ModelVersion]):
    """A version with its figures."""

    team = serializers.CharField(source="model.team.slug")
    model_name = serializers.CharField(source="model.name")
    job = serializers.IntegerField(source="produced_by_id")
    job_kind = serializers.CharField(source="produced_by.kind", allow_null=True)
    aliases = serializers.SerializerMethodField()
    facts = serializers.DictField()
    metrics = serializers.DictField()
    manifest = serializers.DictField()
    source = serializers.DictField()  # type: ignore[assignment]
    url = serializers.SerializerMethodField()
    provenance_url = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = [
            "id", "url", "provenance_url", "team", "model", "model_name", "number", "state",
            "stage", "aliases", "error", "notes", "digest", "manifest", "size_bytes", "facts",
            "metrics", "job", "job_kind", "filled_by", "dataset_version", "config_revision",
            "base_version", "format", "source_version", "seed", "source", "created_at", "ready_at",
        ]  # fmt: skip

    def get_aliases(self, row: Any) -> list[str]:
        if isinstance(row, tuple):
            return list(row.alias_names)  # type: ignore[attr-defined]
        return sorted(alias.name for alias in row.aliases.all())

    def get_url(self, row: ModelVersion) -> str:
        return row_url("api_model_version", row.id)

    def get_provenance_url(self, row: ModelVersion) -> str:
        return row_url("api_model_version_provenance", row.id)


class ModelVersionRow(ModelVersionOutput):
    """A version in a list: without its manifest, which may name thousands of files, and without
    what takes another table to tell.
    """

    manifest = job_kind = None  # type: ignore[assignment]
    also = ("alias_names",)

    class Meta(ModelVersionOutput.Meta):
        fields = [
            name for name in ModelVersionOutput.Meta.fields if name not in ("manifest", "job_kind")
        ]

    @classmethod
    def select(cls, rows: Any) -> Any:
        return super().select(selectors.with_aliases(rows))


class VersionListApi(ListAPIView[ModelVersion]):
    """Versions of the models of your teams, or of one model."""

    serializer_class: Any = ModelVersionRow
    pagination_class = Page
    queryset = ModelVersion.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        key = self.kwargs.get("pk") or _number(query.get("model", ""), "model")
        model = selectors.model_alone(actor=actor, model_id=key) if key else None
        words = {name: query.get(name, "") for name in ("state", "team", "stage")}
        rows = selectors.version_rows(actor=actor, model=model, **words)
        return ModelVersionRow.select(rows)

    @extend_schema(
        parameters=[
            OpenApiParameter("team", str),
            OpenApiParameter("model", int),
            OpenApiParameter("state", str),
            OpenApiParameter("stage", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class VersionApi(APIView):
    """What the views of one version share."""

    def version(self, pk: int) -> ModelVersion:
        actor: Any = self.request.user
        return selectors.version_get(actor=actor, version_id=pk)


class VersionDetailApi(VersionApi):
    """One version."""

    @extend_schema(responses=ModelVersionOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ModelVersionOutput(self.version(pk)).data)

    @extend_schema(request=request_schema(VersionChange), responses=ModelVersionOutput)
    def patch(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = self.version(pk)
        given = parse(VersionChange, request.data)
        version_note(actor=actor, version=version, notes=given.notes)
        return Response(ModelVersionOutput(version).data)


class FileApi(VersionApi):
    """One file of a version, as it was stored."""

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, path: str) -> FileResponse:
        entry = self.version(pk).manifest.get(path)
        if entry is None:
            raise NotFound(_("The version has no such file."))
        response = FileResponse(
            blob_reader(entry["sha256"]), as_attachment=True, filename=path.rsplit("/", 1)[-1],
            content_type="application/octet-stream",
        )  # fmt: skip
        response["ETag"] = f'"{entry["sha256"]}"'
        return response


class CompareApi(VersionApi):
    """Two versions side by side: settings, figures, paired evaluations."""

    @extend_schema(
        parameters=[
            OpenApiParameter("a", int, required=True), OpenApiParameter("b", int, required=True),
        ],
        responses=object_schema(
            "What differs",
            config={"type": "array", "items": {"type": "object"}},
            metrics={"type": "array", "items": {"type": "object"}},
            evaluations={"type": "array", "items": {"type": "object"}},
        ),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        keys = [_number(request.query_params.get(name, ""), name) for name in ("a", "b")]
        for name, key in zip(("a", "b"), keys, strict=True):
            if key is None:
                raise FieldError(name, _("Give the id of a model version."))
        first, second = (self.version(key) for key in keys if key is not None)
        return Response(version_compare(first, second))


class QuarantineApi(VersionApi):
    """Keep a version from being used. While deployments serve it: 409 with `uses`."""

    @extend_schema(request=request_schema(QuarantineInput), responses=ModelVersionOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(QuarantineInput, request.data)
        version = version_quarantine(
            actor=actor,
            version=self.version(pk),
            reason=given.reason,
            stop_serving=given.stop_serving,
        )
        return Response(ModelVersionOutput(version).data)


class RestoreApi(VersionApi):
    """Let a quarantined version be used again."""

    @extend_schema(request=request_schema(Reason), responses=ModelVersionOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        reason = parse(Reason, request.data).reason
        version = version_restore(actor=actor, version=self.version(pk), reason=reason)
        return Response(ModelVersionOutput(version).data)


def _number(text: str, field: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise FieldError(field, _("Use the id, a whole number."))
    return int(text)
