"""Routes and their revisions: read, made, revised, rolled back, removed."""

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs.api.inputs import expected
from models_app.core.errors import Conflict, InvalidInput, PreconditionFailed
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.deployments.api.inputs import environment_of
from models_app.jobs.idempotency import KEY
from models_app.routing import selectors
from models_app.routing.api import inputs
from models_app.routing.api.outputs import RouteOutput, RouteRevisionOutput
from models_app.routing.models import Route, RouteRevision
from models_app.routing.services import (
    route_create,
    route_remove,
    route_revise,
    route_roll_back,
)

FILTERS = ("team", "environment", "name")
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description='ETag of what was changed, such as "r3"'
)
IDEMPOTENCY = OpenApiParameter(
    KEY, str, OpenApiParameter.HEADER, description="Repeats answer the same route"
)
T = TypeVar("T")


def route_for(request: Request, pk: int) -> Route:
    """The route, or NotFound."""
    actor: Any = request.user
    return selectors.route_get(actor=actor, route_id=pk)


def shown(request: Request, pk: int, status: int = 200) -> Response:
    """A route as it is now, under the ETag of its revision."""
    row = route_for(request, pk)
    number = row.current.number if row.current else 0
    return Response(RouteOutput(row).data, status=status, headers={"ETag": f'"r{number}"'})


def _guarded(request: Request, base: int | None, work: Callable[[int | None], T]) -> T:
    """What a write gives that must find what it was made for; 412 where If-Match said what."""
    number, by_tag = expected(request, base)
    try:
        return work(number)
    except Conflict as error:
        raise PreconditionFailed(error.message, **error.extra) if by_tag else error from None


class RouteListApi(ListAPIView[Route]):
    """Routes of your teams."""

    serializer_class = RouteOutput
    pagination_class = Page
    queryset = Route.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.route_list(actor=actor, **{name: query.get(name, "") for name in FILTERS})

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in FILTERS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=request_schema(inputs.RouteInput),
        responses={201: RouteOutput},
        parameters=[IDEMPOTENCY],
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(inputs.RouteInput, request.data)
        rules = inputs.Given(given.spec, given.yaml)
        try:
            row = route_create(
                actor=actor,
                team=team_named(actor, given.team),
                name=given.name,
                environment=environment_of(given.environment),
                spec=rules.spec,
                reason=given.reason,
                idempotency_key=request.headers.get(KEY),
                prefix=rules.prefix,
            )
        except InvalidInput as error:
            raise rules.located(error) from None
        answer = created(RouteOutput(route_for(request, row.pk)).data)
        answer["ETag"] = f'"r{row.current.number if row.current else 0}"'
        return answer


class RouteDetailApi(APIView):
    """One route; its ETag names the revision that decides."""

    @extend_schema(responses=RouteOutput)
    def get(self, request: Request, pk: int) -> Response:
        return shown(request, pk)

    @extend_schema(
        request=request_schema(inputs.RouteRevisionInput),
        responses=RouteOutput,
        parameters=[IF_MATCH],
    )
    def put(self, request: Request, pk: int) -> Response:
        """The whole of the next revision. What equals the newest one changes nothing."""
        actor: Any = request.user
        row = route_for(request, pk)
        given = parse(inputs.RouteRevisionInput, request.data)
        rules = inputs.Given(given.spec, given.yaml)
        try:
            _guarded(
                request,
                given.base_revision,
                lambda base: route_revise(
                    actor=actor,
                    route=row,
                    spec=rules.spec,
                    reason=given.reason,
                    base=base,
                    prefix=rules.prefix,
                ),
            )
        except InvalidInput as error:
            raise rules.located(error) from None
        return shown(request, pk)

    @extend_schema(
        request=request_schema(inputs.RouteRemoveInput),
        responses={204: None},
        parameters=[IF_MATCH],
    )
    def delete(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = route_for(request, pk)
        given = parse(inputs.RouteRemoveInput, request.data or {})
        _guarded(
            request,
            None,
            lambda base: route_remove(actor=actor, route=row, reason=given.reason, base=base),
        )
        return Response(status=204)


class RouteRevisionListApi(ListAPIView[RouteRevision]):
    """Revisions of a route, newest first."""

    serializer_class = RouteRevisionOutput
    pagination_class = Page
    queryset = RouteRevision.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        row = route_for(self.request, self.kwargs["pk"])
        return selectors.route_revision_list(actor=actor, route=row)


class RouteRevisionDetailApi(APIView):
    """One revision, by its number."""

    @extend_schema(responses=RouteRevisionOutput)
    def get(self, request: Request, pk: int, number: int) -> Response:
        actor: Any = request.user
        row = route_for(request, pk)
        found = selectors.route_revision_numbered(actor=actor, route=row, number=number)
        return Response(RouteRevisionOutput(found).data, headers={"ETag": f'"{found.digest}"'})


class RouteRollbackApi(APIView):
    """An earlier revision decides again, as a new one."""

    @extend_schema(
        request=request_schema(inputs.RouteBackInput),
        responses=RouteOutput,
        parameters=[IF_MATCH],
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = route_for(request, pk)
        given = parse(inputs.RouteBackInput, request.data)
        _guarded(
            request,
            given.base_revision,
            lambda base: route_roll_back(
                actor=actor, route=row, to=given.to, reason=given.reason, base=base
            ),
        )
        return shown(request, pk)
