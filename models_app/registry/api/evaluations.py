"""Evaluations: list, start, read, scores of single documents."""

from typing import Any, Literal

from django.http import StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.names import one_of
from models_app.core.pagination import Page
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.datasets.selectors import version_get as dataset_version_get
from models_app.registry import selectors
from models_app.registry.evaluation_comparison import comparison_json, evaluations_compare
from models_app.registry.models import Evaluation
from models_app.registry.scoring.table import scores_csv
from models_app.registry.services import evaluation_start
from models_app.registry.states import Family, Task

#: What the list can be narrowed by, each by its number.
FILTERS = ("version", "dataset_version", "model", "dataset")


class EvaluationInput(BaseModel):
    """What is to be scored, on what."""

    model_config = ConfigDict(extra="forbid")
    version: int = Field(description="Id of a model version")
    dataset_version: int
    split: Literal["train", "validation"] = "validation"
    task: Literal["perplexity", "multiple_choice", "exact_match"] = "perplexity"
    max_documents: int | None = Field(None, ge=1, le=10**9)
    delimiter: str = Field(
        " ", max_length=10, description="Of multiple choice: between prompt and choice"
    )
    max_tokens: int = Field(16, ge=1, le=1024, description="Of exact answers: the longest")
    stop: str = Field("\n", max_length=20, description="Of exact answers: the end of one")
    threads: int = Field(1, ge=1, le=1024)


class EvaluationOutput(serializers.ModelSerializer[Evaluation]):
    """The figures of an evaluation."""

    job = serializers.IntegerField(source="produced_by_id")
    metrics = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Evaluation
        fields = [
            "id", "url", "version", "dataset_version", "split", "task", "metrics",
            "scores_sha256", "job", "created_at",
        ]  # fmt: skip

    def get_url(self, row: Evaluation) -> str:
        return reverse("api_evaluation", args=[row.pk])


class EvaluationListApi(ListAPIView[Evaluation]):
    """Evaluations of your teams; starting one answers with its job."""

    serializer_class = EvaluationOutput
    pagination_class = Page
    queryset = Evaluation.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        keys = {name: whole(query, name) for name in FILTERS}
        family = known(query, "family", Family.values)
        task = known(query, "task", Task.values)
        return selectors.evaluation_list(actor=actor, family=family, task=task, **keys)

    @extend_schema(
        parameters=[
            *(OpenApiParameter(name, int) for name in FILTERS),
            OpenApiParameter("family", str, enum=Family.values),
            OpenApiParameter("task", str, enum=Task.values),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(EvaluationInput),
        responses=object_schema(
            "The job that scores", status_code=202, job="integer", url="string", state="string"
        ),
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(EvaluationInput, request.data)
        try:
            version = selectors.version_get(actor=actor, version_id=given.version)
        except NotFound as error:
            raise FieldError("version", error.message) from None
        try:
            data = dataset_version_get(actor=actor, version_id=given.dataset_version)
        except NotFound as error:
            raise FieldError("dataset_version", error.message) from None
        job = evaluation_start(
            actor=actor,
            version=version,
            dataset_version=data,
            idempotency_key=request.headers.get("Idempotency-Key"),
            **given.model_dump(exclude={"version", "dataset_version"}),
        )
        url = reverse("api_job_detail", args=[job.pk])
        body = {"job": job.pk, "url": url, "state": job.state}
        return Response(body, status=202, headers={"Location": url})


class EvaluationDetailApi(APIView):
    """One evaluation."""

    @extend_schema(responses=EvaluationOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = selectors.evaluation_get(actor=actor, evaluation_id=pk)
        return Response(EvaluationOutput(row).data)


class ScoresApi(APIView):
    """Scores of single documents: document, tokens, bytes, nats."""

    @extend_schema(
        parameters=[OpenApiParameter(name, int) for name in ("offset", "limit")],
        responses=object_schema(
            "A window of documents", rows={"type": "array", "items": {"type": "object"}}
        ),
    )
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = selectors.evaluation_get(actor=actor, evaluation_id=pk)
        offset = whole(request.query_params, "offset") or 0
        limit = whole(request.query_params, "limit") or 100
        if limit > 1000:
            raise FieldError("limit", _("Use a number from 1 to %(most)s.") % {"most": 1000})
        rows = selectors.evaluation_scores(evaluation=row, offset=offset, limit=limit)
        return Response({"offset": offset, "rows": rows})


class ScoresCsvApi(APIView):
    """Scores of single documents as CSV."""

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        actor: Any = request.user
        row = selectors.evaluation_get(actor=actor, evaluation_id=pk)
        response = StreamingHttpResponse(scores_csv(row), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="evaluation-{pk}.csv"'
        return response


class ComparisonApi(APIView):
    """Evaluations of the same data beside each other, each against a baseline.

    `interval` and `difference.interval` are those of 95 of a hundred draws of documents.
    """

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "e", int, many=True, required=True, description="2 to 8 evaluations, e=1&e=2"
            ),
            OpenApiParameter("baseline", int, description="The first that fits, unless given"),
            OpenApiParameter("measure", str, description="What the task is usually measured by"),
        ],
        responses=object_schema(
            "A comparison",
            dataset_version="integer",
            split="string",
            task="string",
            measure="string",
            less_is_better="boolean",
            baseline="integer",
            baseline_reason="string",
            documents="integer",
            confidence="number",
            resamples="integer",
            seed="integer",
            evaluations={"type": "array", "items": {"type": "object"}},
        ),
    )
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        query = request.query_params
        found = evaluations_compare(
            actor=actor,
            ids=wholes(query, "e"),
            baseline=whole(query, "baseline"),
            measure=query.get("measure", ""),
        )
        return Response(comparison_json(found))


def known(query: Any, name: str, values: list[str]) -> str:
    """One of these words, empty if it is not there, or FieldError."""
    text = str(query.get(name, ""))
    if text and text not in values:
        raise FieldError(name, one_of(values))
    return text


def wholes(query: Any, name: str) -> list[int]:
    """Every whole number of that name, or FieldError."""
    return [number for text in query.getlist(name) if (number := _number(text, name)) is not None]


def whole(query: Any, name: str) -> int | None:
    """A whole number of the query string, None if it is not there, or FieldError."""
    return _number(query.get(name, ""), name)


def _number(text: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise FieldError(name, _("Use a whole number from 0."))
    return int(text)
