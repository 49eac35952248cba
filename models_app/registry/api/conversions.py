"""Conversions: the formats there are, start one, list and read them with their parity reports."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.pagination import Page
from models_app.core.responses import accepted
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.datasets.selectors import version_get as dataset_version_get
from models_app.registry import selectors
from models_app.registry.api.evaluations import whole
from models_app.registry.formats import target_list
from models_app.registry.models import Conversion
from models_app.registry.services import conversion_start


class GateInput(BaseModel):
    """Limits that differ from those of the format; null asks for nothing."""

    model_config = ConfigDict(extra="forbid")
    max_logit_error: float | None = Field(None, ge=0, allow_inf_nan=False)
    mean_divergence: float | None = Field(None, ge=0, allow_inf_nan=False)
    perplexity_increase: float | None = Field(None, ge=-1, le=1e6, allow_inf_nan=False)
    top1_agreement: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    greedy_agreement: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class ConversionInput(BaseModel):
    """What is converted to what, and how close it must stay."""

    model_config = ConfigDict(extra="forbid")
    version: int = Field(description="Id of a model version")
    format: str = Field(description="See conversions/formats", max_length=64)
    precision: str = Field("", description="By default the first of the format", max_length=64)
    dataset_version: int | None = Field(None, description="Compared on its validation split")
    max_documents: int = Field(200, ge=1, le=10**6)
    gate: GateInput = Field(default_factory=GateInput)
    threads: int = Field(1, ge=1, le=1024)
    priority: int = Field(0, ge=-100, le=100)
    pool: str = ""
    resources: dict[str, Any] = Field(
        {}, description="cpus, memory_mib, disk_mib, gpus, node_selector"
    )


class ConversionOutput(serializers.ModelSerializer[Conversion]):
    """A conversion with its report."""

    state = serializers.CharField(source="output.state")
    error = serializers.CharField(source="output.error")
    passed = serializers.BooleanField(allow_null=True)
    gate = serializers.DictField()
    report = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Conversion
        fields = [
            "id", "url", "source", "source_digest", "output", "format", "precision",
            "dataset_version", "gate", "job", "state", "error", "passed", "report", "created_at",
            "finished_at",
        ]  # fmt: skip

    def get_url(self, row: Conversion) -> str:
        return reverse("api_conversion", args=[row.pk])


class ConversionListApi(ListAPIView[Conversion]):
    """Conversions of your teams; starting one answers with it and its job."""

    serializer_class = ConversionOutput
    pagination_class = Page
    queryset = Conversion.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.conversion_list(
            actor=actor, version=whole(query, "version"), format=query.get("target", "")
        )

    @extend_schema(parameters=[OpenApiParameter("version", int), OpenApiParameter("target", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(ConversionInput),
        responses={202: ConversionOutput},
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(ConversionInput, request.data)
        conversion = conversion_start(
            actor=actor,
            version=_row("version", selectors.version_get, actor, given.version),
            format=given.format,
            precision=given.precision,
            dataset_version=_row(
                "dataset_version", dataset_version_get, actor, given.dataset_version
            ),
            gate=given.gate.model_dump(exclude_unset=True),
            max_documents=given.max_documents,
            threads=given.threads,
            priority=given.priority,
            pool=given.pool,
            resources=given.resources,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return accepted(ConversionOutput(conversion).data)


class ConversionDetailApi(APIView):
    """One conversion with its parity report."""

    @extend_schema(responses=ConversionOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = selectors.conversion_get(actor=actor, conversion_id=pk)
        return Response(ConversionOutput(row).data)


class FormatListApi(APIView):
    """Formats that versions can be converted to, and what keeps the nodes from one of them."""

    @extend_schema(
        responses=object_schema(
            "The formats", formats={"type": "array", "items": {"type": "object"}}
        )
    )
    def get(self, request: Request) -> Response:
        rows = [
            {
                "name": row.name, "label": row.label, "purpose": row.purpose,
                "produces": row.produces, "takes": row.takes,
                "takes_adapter": row.takes_adapter,
                "precisions": [
                    {"name": p.name, "bytes_per_weight": p.bytes_per_weight, "gate": dict(p.gate)}
                    for p in row.precisions
                ],
                "unavailable": row.unavailable(),
            }
            for row in target_list()
        ]  # fmt: skip
        return Response({"formats": rows})


def _row(field: str, find: Any, actor: Any, key: int | None) -> Any:
    if key is None:
        return None
    try:
        return find(actor=actor, version_id=key)
    except NotFound as error:
        raise FieldError(field, error.message) from None
