"""The lineage of anything, as a graph or as OpenLineage events."""

from typing import Any, Literal

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.validation import parse
from models_app.deployments.lineage.graph import MOST_DEPTH, lineage_graph
from models_app.deployments.lineage.openlineage import openlineage_events


class LineageQuery(BaseModel):
    """Around what, how far, and how it is told."""

    model_config = ConfigDict(extra="ignore")
    node: str = Field(min_length=1, max_length=120)
    depth: int = Field(10, ge=0, le=MOST_DEPTH)
    format: Literal["graph", "openlineage"] = "graph"


class LineageApi(APIView):
    """Where a thing comes from and what came of it, in both directions.

    `node` is kind:key, with `file:<sha256>`, `dataset_version:`, `job:`, `model_version:`,
    `evaluation:`, `revision:` and an id, or `request:` and the id of an answer's request.
    What you may not see is left out. `format=openlineage` gives a list of run events.
    """

    @extend_schema(
        parameters=[
            OpenApiParameter("node", str, required=True),
            OpenApiParameter("depth", int),
            OpenApiParameter("format", str, enum=["graph", "openlineage"]),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        query = parse(LineageQuery, request.query_params.dict())
        graph = lineage_graph(actor=actor, node=query.node, depth=query.depth)
        if query.format == "openlineage":
            return Response(openlineage_events(graph))
        return Response(graph.to_dict())
