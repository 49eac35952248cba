"""Imports of models, and the scans of their files."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.parsers import StrictJSONParser
from models_app.core.responses import accepted
from models_app.core.schema import json_schema, object_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.datasets.uploads import StoredFile, stream_uploads
from models_app.registry import selectors
from models_app.registry.api.versions import KEY, ModelVersionOutput, VersionApi
from models_app.registry.importing import HubSource, PathSource, Source, UploadSource
from models_app.registry.models import VersionScan
from models_app.registry.naming import version_named
from models_app.registry.services import version_import, version_scan


class ImportTarget(BaseModel):
    """The model that the version is for, which must exist; a version of it that was registered for
    a run elsewhere and waits for its files; and the base of an adapter.
    """

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    model: str = Field(description="Name of the model")
    version: str = Field(
        "", pattern=r"^[0-9A-Za-z._-]{0,64}$",
        description="One that waits for its files, such as v4; empty makes a new one",
    )  # fmt: skip
    base_version: int | None = Field(None, description="Of an adapter: what it was trained on")
    notes: str = ""


class ImportInput(ImportTarget):
    """An import from a folder of the import directory, or (with `url`) from a hub."""

    path: str | None = Field(None, description="A folder inside the import directory")
    url: str | None = Field(None, description="Address of a hub that the operator allows")
    repo: str = Field("", description="On a hub: team/model")
    revision: str = Field("", description="A branch, tag or commit of the hub or the cache")
    token: str = Field("", description="API token for the hub; forgotten when the import ends")
    leave_out: list[str] = Field([], description="Files not to import: names or patterns (*.bin)")


class UploadInput(ImportTarget):
    """The fields beside an uploaded archive. `leave_out` is separated by spaces."""

    leave_out: str = ""


class ScanOutput(serializers.ModelSerializer[VersionScan]):
    """What a scan found: verdict, findings with severity, file and remedy, and the files."""

    model_version = serializers.IntegerField(source="version_id")
    job = serializers.IntegerField(source="produced_by_id")
    report = serializers.DictField()

    class Meta:
        model = VersionScan
        fields = [
            "id", "model_version", "verdict", "ruleset", "scanner", "report", "job", "created_at",
        ]  # fmt: skip


class ImportListApi(APIView):
    """Start an import: a pending version and its job. Every file is scanned before it is kept."""

    parser_classes = [StrictJSONParser, MultiPartParser]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        stream_uploads(request)
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        parameters=[KEY],
        request={
            "application/json": json_schema(ImportInput),
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    **json_schema(UploadInput)["properties"],
                    "file": {"type": "string", "format": "binary"},
                },
                "required": ["team", "model", "file"],
            },
        },
        responses={202: ModelVersionOutput},
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given: ImportInput | UploadInput
        source: Source
        if (request.content_type or "").startswith("multipart/"):
            given = parse(UploadInput, _fields(request))
            words = given.leave_out.split()
            source = parse(UploadSource, {"files": _files(request), "leave_out": words})
        else:
            given = parse(ImportInput, request.data)
            source = source_of(given)
        team = team_named(actor, given.team)
        model = _found(
            "model", lambda: selectors.model_named(actor=actor, team=team.slug, name=given.model)
        )
        version = version_import(
            actor=actor,
            model=model,
            source=source,
            version=None if not given.version else _found(
                "version", lambda: version_named(model=model, name=given.version),
            ),
            base_version=None if given.base_version is None else _found(
                "base_version",
                lambda: selectors.version_get(actor=actor, version_id=given.base_version or 0),
            ),
            notes=given.notes,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )  # fmt: skip
        return accepted(ModelVersionOutput(version).data)


class ScanApi(VersionApi):
    """The newest scan of a version."""

    @extend_schema(responses=ScanOutput)
    def get(self, request: Request, pk: int) -> Response:
        scan = self.version(pk).scans.first()
        if scan is None:
            raise NotFound(_("It was not scanned yet: POST here to do it."))
        return Response(ScanOutput(scan).data)

    @extend_schema(
        parameters=[KEY],
        request=None,
        responses=object_schema("The job that scans", status_code=202, job="integer", url="string"),
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        job = version_scan(
            actor=actor, version=self.version(pk),
            idempotency_key=request.headers.get("Idempotency-Key"),
        )  # fmt: skip
        return accepted({"job": job.pk, "url": reverse("api_job_detail", args=[job.pk])})


def source_of(given: ImportInput) -> Source:
    """The one source that the fields name, or FieldError."""
    if (given.path is None) == (given.url is None):
        raise FieldError("path", _("Give either path (a folder) or url (a hub)."))
    if given.path is not None:
        for name in ("repo", "token"):
            if getattr(given, name):
                raise FieldError(name, _("Only an import from a hub has this."))
        wanted: dict[str, Any] = {"path": given.path, "revision": given.revision}
        return parse(PathSource, {**wanted, "leave_out": given.leave_out})
    wanted = {"url": given.url, "repo": given.repo, "revision": given.revision or "main"}
    return parse(
        HubSource, {**wanted, "token": given.token, "leave_out": given.leave_out}
    )  # fmt: skip


def _files(request: Request) -> list[dict[str, Any]]:
    unknown = [name for name in request.FILES if name != "file"]
    if unknown:
        raise FieldError(unknown[0], _("Send the archive in the field `file`."))
    return [file.entry() for file in request.FILES.getlist("file") if isinstance(file, StoredFile)]


def _fields(request: Request) -> dict[str, Any]:
    data: Any = request.data
    return {name: data[name] for name in data if name not in request.FILES and data[name] != ""}


def _found(field: str, find: Any) -> Any:
    try:
        return find()
    except NotFound as error:
        raise FieldError(field, error.message) from None
