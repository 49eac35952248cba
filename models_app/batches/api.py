"""Batches of requests: list, begin, look at, stop. OpenAI's clients use /v1/batches instead."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.batches.models import Batch
from models_app.batches.selectors import batch_counts, batch_get, batch_list, batch_status
from models_app.batches.services import batch_cancel, batch_of_rows
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.datasets.selectors import version_get
from models_app.jobs.idempotency import KEY


class BatchInput(BaseModel):
    """One request for each row of a split."""

    model_config = ConfigDict(extra="forbid")
    dataset_version: int
    split: str = "train"
    model: str = Field(description="team/deployment, or team/model:v3")
    endpoint: str = "/v1/chat/completions"
    template: dict[str, Any] = Field(description="The body of a request, with {text} in it")
    answers_dataset: str = Field("", description="Dataset whose next version the answers become")
    pool: str = ""
    priority: int = 0


class BatchOutput(serializers.ModelSerializer[Batch]):
    """A batch; `status` in OpenAI's words."""

    id = serializers.CharField(source="key")
    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    status = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.email", default=None)
    input_file = serializers.CharField(source="input_file.key", default=None)
    output_file = serializers.CharField(source="output_file.key", default=None)
    error_file = serializers.CharField(source="error_file.key", default=None)
    template = serializers.DictField()
    errors = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]

    class Meta:
        model = Batch
        fields = [
            "id", "url", "team", "status", "model", "model_version", "deployment", "revision",
            "endpoint", "dataset_version", "split", "template", "input_file", "counts",
            "prompt_tokens", "completion_tokens", "output_file", "error_file", "answers_dataset",
            "answers_version", "errors", "job", "created_by", "created_at", "expires_at",
        ]  # fmt: skip

    def get_url(self, row: Batch) -> str:
        return reverse("api_batch", args=[row.key])

    def get_status(self, row: Batch) -> str:
        return batch_status(row)

    def get_counts(self, row: Batch) -> dict[str, int]:
        return batch_counts(row)


class BatchListApi(ListAPIView[Batch]):
    """Batches of your teams, newest first; POST asks about every row of a dataset's split."""

    serializer_class = BatchOutput
    pagination_class = Page
    queryset = Batch.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return batch_list(actor=actor, team=self.request.query_params.get("team", ""))

    @extend_schema(parameters=[OpenApiParameter("team", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=request_schema(BatchInput),
        responses={201: BatchOutput},
        parameters=[
            OpenApiParameter(
                KEY, str, OpenApiParameter.HEADER, description="Repeats answer the same batch"
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Begin a batch."""
        actor: Any = request.user
        given = parse(BatchInput, request.data)
        fields = given.model_dump(exclude={"dataset_version"})
        version = version_get(actor=actor, version_id=given.dataset_version)
        key = request.headers.get(KEY)
        batch = batch_of_rows(actor=actor, dataset_version=version, idempotency_key=key, **fields)
        return created(BatchOutput(batch_get(actor=actor, key=batch.key)).data)


class BatchApi(APIView):
    """One batch."""

    @extend_schema(responses=BatchOutput)
    def get(self, request: Request, key: str) -> Response:
        actor: Any = request.user
        return Response(BatchOutput(batch_get(actor=actor, key=key)).data)


class BatchCancelApi(APIView):
    """Stop a batch; what is answered by then is kept."""

    @extend_schema(request=None, responses=BatchOutput)
    def post(self, request: Request, key: str) -> Response:
        actor: Any = request.user
        batch_cancel(actor=actor, batch=batch_get(actor=actor, key=key))
        return Response(BatchOutput(batch_get(actor=actor, key=key)).data)
