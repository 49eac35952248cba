"""The API of nodes and pools. Nodes are for platform admins; pools for whoever may use them."""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.permission import require
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.pools.models import Node
from models_app.pools.selectors import node_get, node_list
from models_app.pools.services import operations


class NodeOutput(serializers.ModelSerializer[Node]):
    """A node, its state and its last sign of life."""

    labels = serializers.DictField(child=serializers.CharField())
    capacity = serializers.DictField()
    health = serializers.DictField()
    ready = serializers.BooleanField()

    class Meta:
        model = Node
        fields = [
            "name", "state", "state_reason", "state_changed_at", "ready", "labels", "slots",
            "used_slots", "cpus", "memory_mib", "disk_mib", "gpus", "capacity", "health",
            "clock_skew_s", "shares_store", "drain_deadline_at", "remove_when_empty", "started_at",
            "last_seen_at",
        ]  # fmt: skip


class ReasonInput(BaseModel):
    """Why, for the people who look at the node later."""

    model_config = ConfigDict(extra="forbid")
    reason: str = ""


class QuarantineInput(BaseModel):
    """What is wrong with it."""

    model_config = ConfigDict(extra="forbid")
    reason: str


class DrainInput(BaseModel):
    """How long it may take, and what comes after."""

    model_config = ConfigDict(extra="forbid")
    deadline_s: int = Field(1800, description="Then what is left is stopped and moved")
    remove: bool = Field(False, description="Remove the node when it is empty")
    reason: str = ""


class LabelsInput(BaseModel):
    """All labels of the node."""

    model_config = ConfigDict(extra="forbid")
    labels: dict[str, str]


class NodeListApi(APIView):
    """All nodes."""

    @extend_schema(responses=NodeOutput(many=True))
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        require(actor, "pools.view_node")
        return Response(NodeOutput(node_list(), many=True).data)


class NodeApi(APIView):
    """What all addresses of one node share."""

    def node(self, request: Request, name: str) -> Node:
        """The node, for those who may see nodes."""
        actor: Any = request.user
        require(actor, "pools.view_node")
        return node_get(name)

    def answer(self, name: str) -> Response:
        """How it stands now."""
        return Response(NodeOutput(node_get(name)).data)


class NodeDetailApi(NodeApi):
    """One node; PATCH replaces its labels, DELETE removes it when it is empty or gone."""

    @extend_schema(responses=NodeOutput)
    def get(self, request: Request, name: str) -> Response:
        self.node(request, name)
        return self.answer(name)

    @extend_schema(request=request_schema(LabelsInput), responses=NodeOutput)
    def patch(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        node = self.node(request, name)
        given = parse(LabelsInput, request.data)
        operations.node_set_labels(actor=actor, node=node, labels=given.labels)
        return self.answer(name)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        operations.node_remove(actor=actor, node=self.node(request, name))
        return Response(status=204)


class NodeCordonApi(NodeApi):
    """No new jobs; what runs goes on."""

    @extend_schema(request=request_schema(ReasonInput), responses=NodeOutput)
    def post(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        node = self.node(request, name)
        given = parse(ReasonInput, request.data or {})
        operations.node_cordon(actor=actor, node=node, reason=given.reason)
        return self.answer(name)


class NodeUncordonApi(NodeApi):
    """Take jobs again; ends a drain and a quarantine as well."""

    @extend_schema(request=None, responses=NodeOutput)
    def post(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        operations.node_uncordon(actor=actor, node=self.node(request, name))
        return self.answer(name)


class NodeDrainApi(NodeApi):
    """Empty it: trainings save and move, streams finish, short work ends."""

    @extend_schema(request=request_schema(DrainInput), responses={202: NodeOutput})
    def post(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        node = self.node(request, name)
        given = parse(DrainInput, request.data or {})
        operations.node_drain(actor=actor, node=node, **given.model_dump())
        return Response(self.answer(name).data, status=202)


class NodeQuarantineApi(NodeApi):
    """Something is wrong with it: no new jobs, and its lost jobs are held back."""

    @extend_schema(request=request_schema(QuarantineInput), responses=NodeOutput)
    def post(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        node = self.node(request, name)
        given = parse(QuarantineInput, request.data)
        operations.node_quarantine(actor=actor, node=node, reason=given.reason)
        return self.answer(name)
