"""The API of single checkpoints: read, keep, let go of, download."""

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.jobs import selectors
from models_app.jobs.models import Checkpoint
from models_app.jobs.pinning import checkpoint_pack, checkpoint_pin, checkpoint_unpin


class CheckpointOutput(serializers.ModelSerializer[Checkpoint]):
    """A place from which the job can go on."""

    metrics = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Checkpoint
        fields = [
            "id", "url", "job", "step", "epoch", "digest", "size_bytes", "metrics", "pinned_at",
            "created_at",
        ]  # fmt: skip

    def get_url(self, row: Checkpoint) -> str:
        return reverse("api_checkpoint", args=[row.pk])


class CheckpointApi(APIView):
    """What the views of one checkpoint share."""

    def checkpoint(self, pk: int) -> Checkpoint:
        actor: Any = self.request.user
        return selectors.checkpoint_get(actor=actor, checkpoint_id=pk)


class CheckpointDetailApi(CheckpointApi):
    """One checkpoint."""

    @extend_schema(responses=CheckpointOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(CheckpointOutput(self.checkpoint(pk)).data)


class CheckpointPinApi(CheckpointApi):
    """Keep a checkpoint: neither retention nor the end of the job takes it away."""

    @extend_schema(request=None, responses=CheckpointOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = checkpoint_pin(actor=actor, checkpoint=self.checkpoint(pk))
        return Response(CheckpointOutput(row).data)


class CheckpointUnpinApi(CheckpointApi):
    """Let go of a kept checkpoint."""

    @extend_schema(request=None, responses=CheckpointOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = checkpoint_unpin(actor=actor, checkpoint=self.checkpoint(pk))
        return Response(CheckpointOutput(row).data)


class CheckpointDownloadApi(CheckpointApi):
    """The whole checkpoint as a tar file: weights, optimiser, generators, tokenizer, state."""

    @extend_schema(responses={(200, "application/x-tar"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        return checkpoint_download(self.checkpoint(pk))


def checkpoint_download(checkpoint: Checkpoint) -> StreamingHttpResponse:
    """The answer with the file; WrongState when it cannot be had."""
    parts = checkpoint_pack(checkpoint)
    response = StreamingHttpResponse(parts, content_type="application/x-tar")
    name = f"job-{checkpoint.job_id}-{checkpoint.name}.tar"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
