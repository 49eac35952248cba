"""The API of alerts: what fires, what fired, and saying that somebody looks after it."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.alerts import selectors
from models_app.alerts.models import Alert
from models_app.alerts.services import alert_acknowledge
from models_app.alerts.states import AlertState, Severity
from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.core.pagination import Page

KNOWN = {"state": AlertState.values, "severity": Severity.values}


class AlertOutput(serializers.ModelSerializer[Alert]):
    """An alert with what its rule said when it fired."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    config_name = serializers.CharField(source="config.name")
    overlay = serializers.IntegerField(source="overlay_id", allow_null=True)
    subject_kind = serializers.CharField()
    acknowledged_by = serializers.CharField(source="acknowledged_by.email", default=None)

    class Meta:
        model = Alert
        fields = [
            "id", "url", "team", "config_name", "revision", "overlay", "rule", "signal",
            "subject_kind", "subject", "severity", "state", "value", "threshold", "above", "note",
            "since", "fired_at", "measured_at", "resolved_at", "ended_by", "acknowledged_at",
            "acknowledged_by",
        ]  # fmt: skip

    def get_url(self, row: Alert) -> str:
        return reverse("api_alert_detail", args=[row.pk])


class AlertListApi(ListAPIView[Alert]):
    """Alerts of your teams, newest first."""

    serializer_class = AlertOutput
    pagination_class = Page
    queryset = Alert.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        given = {name: self.request.query_params.get(name, "") for name in (*KNOWN, "team")}
        for name, values in KNOWN.items():
            if given[name] and given[name] not in values:
                raise FieldError(name, one_of(values))
        return selectors.alert_list(actor=actor, **given)

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=AlertState.values),
            OpenApiParameter("severity", str, enum=Severity.values),
            OpenApiParameter("team", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class AlertDetailApi(APIView):
    """One alert."""

    @extend_schema(responses=AlertOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(AlertOutput(selectors.alert_get(actor=actor, alert_id=pk)).data)


class AlertAcknowledgeApi(APIView):
    """Say that you look after it: it counts no longer, and ends when its condition does."""

    @extend_schema(request=None, responses=AlertOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        alert = selectors.alert_get(actor=actor, alert_id=pk)
        return Response(AlertOutput(alert_acknowledge(actor=actor, alert=alert)).data)
