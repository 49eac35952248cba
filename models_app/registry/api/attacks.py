"""Attack suites of a version: start one, read the results."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.responses import accepted
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.models import AttackRun
from models_app.registry.services import attack_start


class AttackInput(BaseModel):
    """How the suite is run; every field may be left out."""

    model_config = ConfigDict(extra="forbid")
    seed: int | None = Field(
        None, ge=0, lt=1 << 31, description="Chooses the secret words; drawn if left out"
    )
    tokens: int = Field(64, ge=16, le=512, description="Most tokens of an answer")
    rows: int = Field(20, ge=0, le=200, description="Training rows that are begun")
    threads: int = Field(1, ge=1, le=1024)


class AttackOutput(serializers.ModelSerializer[AttackRun]):
    """One run: the score, and for each category count, passed, rate and what failed."""

    model_version = serializers.IntegerField(source="version_id")
    job = serializers.IntegerField(source="produced_by_id")
    report = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = AttackRun
        fields = [
            "id", "url", "model_version", "suite", "suite_digest", "seed", "score", "passed",
            "applicable", "report", "job", "created_at",
        ]  # fmt: skip

    def get_url(self, row: AttackRun) -> str:
        return reverse("api_attack", args=[row.pk])


class AttackListApi(ListAPIView[AttackRun]):
    """Runs of the attack suite against a version, newest first; POST begins one."""

    serializer_class = AttackOutput
    pagination_class = Page
    queryset = AttackRun.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        version = selectors.version_get(actor=actor, version_id=self.kwargs["pk"])
        return version.attacks.order_by("-id")

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(AttackInput),
        responses=object_schema(
            "The job that asks", status_code=202, job="integer", url="string", state="string"
        ),
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        given = parse(AttackInput, request.data or {})
        job = attack_start(
            actor=actor,
            version=version,
            idempotency_key=request.headers.get("Idempotency-Key"),
            **given.model_dump(),
        )
        url = reverse("api_job_detail", args=[job.pk])
        return accepted({"job": job.pk, "url": url, "state": job.state})


class AttackDetailApi(APIView):
    """One run."""

    @extend_schema(responses=AttackOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        rows = AttackRun.objects.select_related("version__model")
        return Response(AttackOutput(rows.get_visible(actor, pk=pk)).data)
