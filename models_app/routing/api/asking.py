"""What a route would do with a request, what changed in it, and what it has done."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.routing import selectors
from models_app.routing.api import inputs
from models_app.routing.api.resources import route_for
from models_app.routing.comparison import route_changes
from models_app.routing.explaining import route_explain
from models_app.routing.hypothetical import Hypothetical, facts_of
from models_app.routing.statistics import mirror_report, route_shares

_OBJECTS = {"type": "array", "items": {"type": "object", "additionalProperties": {}}}


class RouteSchemaApi(APIView):
    """The JSON Schema of the rules of a route."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        return Response(inputs.spec_schema())


class RouteDiffApi(APIView):
    """What changed from one revision to another; rules are compared by name."""

    @extend_schema(
        parameters=[
            OpenApiParameter("from", int, required=True),
            OpenApiParameter("to", int, required=True),
        ],
        responses=object_schema("What differs", changes=_OBJECTS),
    )
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = route_for(request, pk)
        query = parse(inputs.RouteDiffQuery, request.query_params.dict())
        old, new = (
            selectors.route_revision_numbered(actor=actor, route=row, number=number)
            for number in (query.old, query.new)
        )
        changes = route_changes(old.spec, new.spec)
        return Response({"changes": [change.to_dict() for change in changes]})


class ExplainApi(APIView):
    """Which rule decides a request, what each condition saw, and who would answer now.

    Nothing is sent: describe the request, and the gateway's own code decides.
    """

    @extend_schema(
        request=request_schema(Hypothetical),
        responses=object_schema(
            "The decision and its reasons",
            route="string",
            revision="integer",
            rule="string",
            lock="string",
            side="string",
            cell="integer",
            targets=_OBJECTS,
            chain=_OBJECTS,
            answers="object",
            degraded="string",
            adapter="string",
            served="boolean",
            mirror="string",
            rules=_OBJECTS,
        ),
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = route_for(request, pk)
        given = parse(Hypothetical, request.data)
        facts = facts_of(row, given)
        found = route_explain(actor=actor, route=row, facts=facts, adapter=given.adapter)
        return Response(found.to_dict())


class RouteFiguresApi(APIView):
    """The last hour: requests by rule and revision, and how mirrored answers compare."""

    @extend_schema(
        responses=object_schema("Figures of the last hour", shares=_OBJECTS, mirror="object")
    )
    def get(self, request: Request, pk: int) -> Response:
        row = route_for(request, pk)
        mirror = row.current.spec.get("mirror") if row.current else None
        report = None
        if mirror:
            found = mirror_report(row, mirror["deployment"])
            report = {
                **asdict(found),
                "same_percent": found.same_percent,
                "judge": found.judge.plain() if mirror.get("judge") else None,
            }
        return Response(
            {"shares": [asdict(share) for share in route_shares(row)], "mirror": report}
        )
