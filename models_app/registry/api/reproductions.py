"""Rebuilding of versions: start one, read the reports."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.responses import accepted
from models_app.registry import selectors
from models_app.registry.models import Reproduction
from models_app.registry.services import reproduction_plan, reproduction_start


class ReproductionOutput(serializers.ModelSerializer[Reproduction]):
    """What came of rebuilding a version: verdict, the first divergence, the whole report."""

    report = serializers.DictField()
    created_by = serializers.CharField(source="created_by.email", default=None)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Reproduction
        fields = [
            "id", "url", "version", "job", "verdict", "divergence", "report", "created_by",
            "created_at", "finished_at",
        ]  # fmt: skip

    def get_url(self, row: Reproduction) -> str:
        return reverse("api_reproduction", args=[row.pk])


class ReproductionsApi(ListAPIView[Reproduction]):
    """Reports of one version, newest first; POST rebuilds it from its record."""

    serializer_class = ReproductionOutput
    pagination_class = Page
    queryset = Reproduction.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        version = selectors.version_get(actor=actor, version_id=self.kwargs["pk"])
        return version.reproductions.select_related("created_by").order_by("-id")

    @extend_schema(
        request=None,
        responses={202: ReproductionOutput},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        plan = reproduction_plan(version)
        row = reproduction_start(
            actor=actor, version=version, idempotency_key=request.headers.get("Idempotency-Key")
        )
        return accepted({**ReproductionOutput(row).data, "beforehand": plan})


class ReproductionApi(APIView):
    """One report."""

    @extend_schema(responses=ReproductionOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = selectors.reproduction_get(actor=actor, reproduction_id=pk)
        return Response(ReproductionOutput(row).data)
