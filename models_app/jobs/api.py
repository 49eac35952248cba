"""The API of jobs: submit, watch, cancel, run again; log, metrics, attempts, checkpoints."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import WrongState
from models_app.core.pagination import Page
from models_app.core.responses import accepted
from models_app.core.schema import json_schema, object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.jobs import metrics, selectors
from models_app.jobs.checkpoint_api import CheckpointOutput
from models_app.jobs.gangs import parts_of
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job, JobAttempt, JobPart
from models_app.jobs.services import job_cancel, job_rerun, job_submit
from models_app.jobs.waiting import refusals, why_waiting


class JobInput(BaseModel):
    """A job of a kind that may be submitted directly; see `job-kinds` for their parameters."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    kind: str
    params: dict[str, Any] = {}
    title: str = ""
    priority: int = Field(0, ge=-100, le=100)
    pool: str = Field("", description="Where it runs; the default pool if left out")
    resources: dict[str, Any] = Field(
        {}, description="cpus, memory_mib, disk_mib, gpus, node_selector"
    )
    timeout_s: int | None = Field(None, ge=1, le=31_536_000)


class RerunInput(BaseModel):
    """Parameters to change; the others stay."""

    model_config = ConfigDict(extra="forbid")
    params: dict[str, Any] = {}


class MetricQuery(BaseModel):
    """Which points."""

    model_config = ConfigDict(extra="ignore")
    name: str = ""
    after_step: int = Field(-1, ge=-1, le=1 << 62)
    max_points: int = Field(1000, ge=2, le=5000)


class JobOutput(serializers.ModelSerializer[Job]):
    """A job as it stands."""

    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.email", default=None)
    params = serializers.DictField()
    inputs = serializers.ListField(
        child=serializers.DictField(), help_text="What it reads: role, name and digest of each"
    )
    result = serializers.DictField(allow_null=True)
    pool = serializers.CharField(source="pool.name")
    node_selector = serializers.DictField(child=serializers.CharField())
    url = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id", "url", "team", "kind", "title", "params", "params_digest", "inputs", "state",
            "reason_code", "reason", "pool", "nodes", "cpus", "memory_mib", "disk_mib", "gpus",
            "node_selector", "priority", "epoch", "node_name", "hold_until", "percent", "stage",
            "step", "total_steps", "eta_s", "log_seq", "result", "rerun_of", "created_by",
            "created_at", "started_at", "finished_at", "cancel_requested_at",
        ]  # fmt: skip

    def get_url(self, row: Job) -> str:
        return reverse("api_job_detail", args=[row.pk])


class AttemptOutput(serializers.ModelSerializer[JobAttempt]):
    """One try at a job."""

    environment = serializers.DictField()
    isolation = serializers.DictField()

    class Meta:
        model = JobAttempt
        fields = [
            "epoch", "node_name", "pid", "started_at", "ended_at", "exit_code", "exit_signal",
            "reason_code", "reason", "tail", "environment", "isolation",
        ]  # fmt: skip


class PartOutput(serializers.ModelSerializer[JobPart]):
    """What one of several nodes does for a job; number 0 leads."""

    address = serializers.CharField(help_text="Where all meet; of part 0")

    class Meta:
        model = JobPart
        fields = [
            "epoch", "number", "node_name", "state", "address", "pid", "started_at", "ended_at",
        ]  # fmt: skip


def _job(request: Request, pk: int) -> Job:
    actor: Any = request.user
    return selectors.job_get(actor=actor, job_id=pk)


FILTERS = ("state", "kind", "team", "pool", "query")


class JobListApi(ListAPIView[Job]):
    """Jobs of your teams, newest first; `state=open` gives those that are not over."""

    serializer_class = JobOutput
    pagination_class = Page
    queryset = Job.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.job_list(actor=actor, **{name: query.get(name, "") for name in FILTERS})

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in FILTERS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=request_schema(JobInput),
        responses={202: JobOutput},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(JobInput, request.data)
        if given.kind in job_kinds and not job_kinds.get(given.kind).submittable:
            raise WrongState(
                _("Jobs of the kind %(kind)s are made by their own endpoint.")
                % {"kind": given.kind}
            )
        job = job_submit(
            actor=actor,
            team=team_named(actor, given.team),
            kind=given.kind,
            params=given.params,
            title=given.title,
            priority=given.priority,
            pool=given.pool,
            resources=given.resources,
            timeout_s=given.timeout_s,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return accepted(JobOutput(job).data)


class JobDetailApi(APIView):
    """One job."""

    @extend_schema(responses=JobOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(JobOutput(_job(request, pk)).data)


class JobCancelApi(APIView):
    """Stop a job; a running one is asked politely, then killed."""

    @extend_schema(request=None, responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return accepted(JobOutput(job_cancel(actor=actor, job=_job(request, pk))).data)


class JobRerunApi(APIView):
    """A new job with the same parameters, or with some changed."""

    @extend_schema(request=request_schema(RerunInput), responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(RerunInput, request.data or {})
        job = job_rerun(actor=actor, job=_job(request, pk), changes=given.params)
        return accepted(JobOutput(job).data)


class JobAttemptListApi(APIView):
    """Every attempt, with its node, its end and its environment."""

    @extend_schema(responses=AttemptOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return Response(AttemptOutput(_job(request, pk).attempts.all(), many=True).data)


class JobPartListApi(APIView):
    """The parts of the present attempt of a job on several nodes; empty for any other job."""

    @extend_schema(responses=PartOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return Response(PartOutput(parts_of(_job(request, pk)), many=True).data)


class JobCheckpointListApi(APIView):
    """Checkpoints, newest first."""

    @extend_schema(responses=CheckpointOutput(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return Response(CheckpointOutput(_job(request, pk).checkpoints.all()[:200], many=True).data)


class JobMetricsApi(APIView):
    """Names and newest values of the job's metrics, or with `name` the series, down-sampled."""

    @extend_schema(
        parameters=[
            OpenApiParameter("name", str),
            OpenApiParameter("after_step", int),
            OpenApiParameter("max_points", int),
        ],
        responses=object_schema("Metrics", latest="object", points={"type": "array", "items": {}}),
    )
    def get(self, request: Request, pk: int) -> Response:
        query = parse(MetricQuery, request.query_params.dict())
        actor: Any = request.user
        job = selectors.job_alone(actor=actor, job_id=pk)
        if query.name:
            series = metrics.metric_series(
                job=job, name=query.name, after_step=query.after_step, max_points=query.max_points
            )
            return Response({"name": query.name, "points": metrics.as_json(series)})
        latest = metrics.metric_latest(job=job)
        return Response({"latest": {k: {"step": s, "value": v} for k, (s, v) in latest.items()}})


class JobWhyApi(APIView):
    """Why a job does not run yet, in one sentence (empty when it does), and node by node."""

    @extend_schema(responses=object_schema("Why", why="string", nodes="object"))
    def get(self, request: Request, pk: int) -> Response:
        job = _job(request, pk)
        nodes = {refusal.node: refusal.reason for refusal in refusals(job=job)}
        return Response({"why": why_waiting(job=job), "nodes": nodes})


class JobKindListApi(APIView):
    """The kinds of jobs and the JSON Schema of their parameters."""

    @extend_schema(responses={200: {"type": "array", "items": {"type": "object"}}})
    def get(self, request: Request) -> Response:
        return Response(
            [
                {
                    "name": kind.name,
                    "label": str(kind.label),
                    "pausable": kind.pausable,
                    "submittable": kind.submittable,
                    "params": json_schema(kind.Params),
                }
                for kind in sorted(job_kinds, key=lambda kind: kind.name)
            ]
        )
