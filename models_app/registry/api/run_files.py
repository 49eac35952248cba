"""Files that programs have left with their runs: listed and downloaded."""

from typing import Any

from django.http import FileResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import NotFound
from models_app.core.reading import blob_reader
from models_app.registry.experiment_selectors import run_files
from models_app.registry.models import RunFile, TrainingRun
from models_app.registry.run_selectors import run_get


class RunFileOutput(serializers.ModelSerializer[RunFile]):
    """A file of a run."""

    stored_by = serializers.CharField(source="stored_by.email", default=None)

    class Meta:
        model = RunFile
        fields = ["path", "size", "sha256", "stored_by", "stored_at"]


class RunFilesApi(APIView):
    """Files that the program of a run has left with it."""

    @extend_schema(responses=RunFileOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        rows = run_files(run_get(actor=actor, run_id=pk).pk)
        return Response(RunFileOutput(rows, many=True).data)


class RunFileApi(APIView):
    """One of them."""

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, path: str) -> FileResponse:
        actor: Any = request.user
        return run_file_response(run_get(actor=actor, run_id=pk), path)


def run_file_response(run: TrainingRun, path: str) -> FileResponse:
    """A download, never shown inside a page; NotFound where there is no such file."""
    file = run.files.filter(path=path).first()
    if file is None:
        raise NotFound(_("The run has no file %(path)s.") % {"path": path[:200]})
    return file_response(path, file.sha256)


def file_response(path: str, sha256: str) -> FileResponse:
    """A stored file under its name, as a download."""
    response = FileResponse(
        blob_reader(sha256), as_attachment=True, filename=path.rsplit("/", 1)[-1],
        content_type="application/octet-stream",
    )  # fmt: skip
    response["ETag"] = f'"{sha256}"'
    return response
