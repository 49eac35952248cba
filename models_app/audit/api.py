"""The API of the audit log: read only."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.audit import selectors
from models_app.audit.models import AuditEvent
from models_app.core.pagination import Page

FILTERS = ("query", "action", "actor", "team", "object_type", "object_id", "since", "until")


class AuditEventOutput(serializers.ModelSerializer[AuditEvent]):
    """One change: who, what, to which thing, when, from where."""

    actor = serializers.CharField(source="actor_label")
    team = serializers.CharField(source="team.slug", default=None, allow_null=True)
    changes = serializers.DictField()

    class Meta:
        model = AuditEvent
        fields = [
            "id", "at", "actor", "actor_id", "token_prefix", "via", "ip", "request_id", "action",
            "team", "object_type", "object_id", "object_label", "changes",
        ]  # fmt: skip


class AuditEventListApi(ListAPIView[AuditEvent]):
    """Newest first; `action` may be a beginning (`job.`), `since` and `until` are ISO times."""

    serializer_class = AuditEventOutput
    pagination_class = Page
    queryset = AuditEvent.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        given = {name: query.get(name, "") for name in FILTERS if name != "actor"}
        return selectors.event_list(actor=actor, actor_name=query.get("actor", ""), **given)

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in FILTERS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
