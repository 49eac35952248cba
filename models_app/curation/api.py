"""The API of quality: reports, checks, preparations, waivers, and the data policies of teams."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.approvals.api import ApprovalOutput
from models_app.core.errors import FieldError, NotFound
from models_app.core.pagination import Page
from models_app.core.responses import accepted, created
from models_app.core.schema import json_schema, object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.curation.services import (
    data_policy_change,
    dataset_prepare,
    preparation_preview,
    waiver_request,
)
from models_app.datasets import selectors
from models_app.datasets.api import KEY, DatasetVersionOutput
from models_app.datasets.checking import quality_check_submit
from models_app.datasets.models import DatasetVersion, QualityPolicy
from models_app.datasets.policy import MEASURES, PolicySpec, figures
from models_app.datasets.quality import policy_spec, quality_of
from models_app.jobs.api import JobOutput


class CheckInput(BaseModel):
    """What to measure against, besides the evaluation datasets of the policy."""

    model_config = ConfigDict(extra="forbid")
    against: list[int] = Field(default_factory=list, max_length=20)


class PrepareInput(BaseModel):
    """How a version is made out of this one."""

    model_config = ConfigDict(extra="forbid")
    config: dict[str, Any] = Field(description="See configs/schema/data")
    dataset: int | None = Field(None, description="Where the version goes; the same dataset")
    reason: str = Field("", description="Why; one line")


class PreviewInput(BaseModel):
    """What a preparation would do to the first documents."""

    model_config = ConfigDict(extra="forbid")
    config: dict[str, Any] = Field(description="See configs/schema/data")


class WaiverInput(BaseModel):
    """Why the version may be used all the same."""

    model_config = ConfigDict(extra="forbid")
    reason: str


class DataPolicyInput(BaseModel):
    """New rules of a team."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    spec: dict[str, Any] = Field(description="See data-policies/schema")
    reason: str = Field("", description="Why; one line")


class DataPolicyOutput(serializers.ModelSerializer[QualityPolicy]):
    """One immutable revision of the rules."""

    team = serializers.CharField(source="team.slug")
    author = serializers.CharField(source="created_by.email", default=None)
    spec = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = QualityPolicy
        fields = ["id", "url", "team", "number", "spec", "digest", "reason", "author", "created_at"]

    def get_url(self, row: QualityPolicy) -> str:
        return reverse("api_data_policy", args=[row.pk])


class QualityApi(APIView):
    """The quality of a version: state, broken rules, figures and the whole report."""

    @extend_schema(
        responses=object_schema(
            "State and report; the report is null before the first check",
            dataset_version="integer",
            state="string",
            basis="string",
            policy={"type": "integer", "nullable": True},
            breaches={"type": "array", "items": {"type": "object"}},
            figures="object",
            report={"type": "object", "nullable": True},
            report_digest="string",
            checked_at={"type": "string", "nullable": True},
        )
    )
    def get(self, request: Request, pk: int) -> Response:
        version = _version(request, pk)
        quality = quality_of(version)
        report = quality.report
        spec = policy_spec(version.team_id)
        return Response(
            {
                "dataset_version": version.pk,
                "state": str(quality.state),
                "basis": quality.basis,
                "policy": quality.policy_id,
                "breaches": quality.breaches,
                "figures": figures(report.report, spec) if report else {},
                "report": report.report if report else None,
                "report_digest": report.digest if report else "",
                "checked_at": report.created_at if report else None,
            }
        )

    @extend_schema(request=request_schema(CheckInput), responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Check it again, perhaps against other versions."""
        actor: Any = request.user
        version = _version(request, pk)
        given = parse(CheckInput, request.data or {})
        others = [_other(actor, other) for other in given.against]
        job = quality_check_submit(actor=actor, version=version, against=others, priority=0)
        return accepted(JobOutput(job).data)


class PrepareApi(APIView):
    """A new version made out of this one by a configuration of the kind `data`."""

    @extend_schema(
        parameters=[KEY],
        request=request_schema(PrepareInput),
        responses={202: DatasetVersionOutput},
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        parent = _version(request, pk)
        given = parse(PrepareInput, request.data)
        version = dataset_prepare(
            actor=actor,
            parent=parent,
            spec=given.config,
            dataset=None if given.dataset is None else _dataset(actor, given.dataset),
            reason=given.reason,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return accepted(DatasetVersionOutput(version).data)


class PreviewApi(APIView):
    """What a preparation would do to the first documents: the result of the job says it."""

    @extend_schema(request=request_schema(PreviewInput), responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        parent = _version(request, pk)
        given = parse(PreviewInput, request.data)
        job = preparation_preview(actor=actor, parent=parent, spec=given.config)
        return accepted(JobOutput(job).data)


class WaiverApi(APIView):
    """Asks others to let a blocked version through."""

    @extend_schema(request=request_schema(WaiverInput), responses={201: ApprovalOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = _version(request, pk)
        given = parse(WaiverInput, request.data)
        row = waiver_request(actor=actor, version=version, reason=given.reason)
        return created(ApprovalOutput(row).data)


class DataPolicyListApi(ListAPIView[QualityPolicy]):
    """Revisions of the data policies of your teams, newest first; the newest of a team counts."""

    serializer_class = DataPolicyOutput
    pagination_class = Page
    queryset = QualityPolicy.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        rows = QualityPolicy.objects.visible_to(actor).select_related("team", "created_by")
        team = self.request.query_params.get("team", "")
        return rows.filter(team__slug=team) if team else rows

    @extend_schema(parameters=[OpenApiParameter("team", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(DataPolicyInput), responses={201: DataPolicyOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(DataPolicyInput, request.data)
        policy = data_policy_change(
            actor=actor, team=team_named(actor, given.team), spec=given.spec, reason=given.reason
        )
        return created(DataPolicyOutput(policy).data)


class DataPolicyApi(APIView):
    """One revision."""

    @extend_schema(responses=DataPolicyOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        rows = QualityPolicy.objects.select_related("team", "created_by")
        return Response(DataPolicyOutput(rows.get_visible(actor, pk=pk)).data)


class DataPolicySchemaApi(APIView):
    """The JSON Schema of the rules, and what is measured."""

    @extend_schema(
        responses=object_schema(
            "Schema and measures",
            schema="object",
            measures={"type": "array", "items": {"type": "string"}},
        )
    )
    def get(self, request: Request) -> Response:
        return Response({"schema": json_schema(PolicySpec), "measures": list(MEASURES)})


def _version(request: Request, pk: int) -> DatasetVersion:
    actor: Any = request.user
    return selectors.version_get(actor=actor, version_id=pk)


def _other(actor: Any, pk: int) -> DatasetVersion:
    try:
        return selectors.version_get(actor=actor, version_id=pk)
    except NotFound as error:
        raise FieldError("against", error.message) from None


def _dataset(actor: Any, pk: int) -> Any:
    try:
        return selectors.dataset_get(actor=actor, dataset_id=pk)
    except NotFound as error:
        raise FieldError("dataset", error.message) from None
