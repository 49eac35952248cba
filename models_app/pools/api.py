"""The API of nodes; for platform admins."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.permission import require
from models_app.pools.models import Node
from models_app.pools.selectors import node_list


class NodeOutput(serializers.ModelSerializer[Node]):
    """A node and its last sign of life."""

    queues = serializers.ListField(child=serializers.CharField())
    capacity = serializers.DictField()
    ready = serializers.BooleanField()

    class Meta:
        model = Node
        fields = [
            "name", "ready", "queues", "slots", "used_slots", "capacity", "started_at",
            "last_seen_at",
        ]  # fmt: skip


class NodeListApi(APIView):
    """All nodes."""

    @extend_schema(responses=NodeOutput(many=True))
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        require(actor, "pools.view_node")
        return Response(NodeOutput(node_list(), many=True).data)
