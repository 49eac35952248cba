"""What moves a deployment: roll out, abort, roll back, scale, stop, start."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.deployments import selectors, services
from models_app.deployments.api import inputs
from models_app.deployments.api.outputs import DeploymentOutput, DeploymentRevisionOutput
from models_app.deployments.api.resources import deployment_for, made, revision_data
from models_app.deployments.models import Deployment, Revision


class RolloutApi(APIView):
    """Start the roll-out of an approved revision, or try a failed one again."""

    @extend_schema(
        request=request_schema(inputs.RolloutInput), responses={202: DeploymentRevisionOutput}
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.RolloutInput, request.data)
        revision = numbered(request, row, given.revision, "revision")
        services.rollout_start(actor=actor, revision=revision)
        return Response(revision_data(request, revision), status=202)


class RolloutAbortApi(APIView):
    """Stop the roll-out that is under way; what serves now goes on."""

    @extend_schema(request=request_schema(inputs.ReasonInput), responses=DeploymentRevisionOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.ReasonInput, request.data)
        revision = services.rolling_out(row)
        if revision is None:
            raise NotFound(_("Nothing is being rolled out."))
        services.rollout_abort(actor=actor, revision=revision, reason=given.reason)
        return Response(revision_data(request, revision))


class RollbackApi(APIView):
    """Go back to an earlier revision. Its `state` says whether it serves, starts or waits."""

    @extend_schema(
        request=request_schema(inputs.RollbackInput), responses={202: DeploymentRevisionOutput}
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.RollbackInput, request.data)
        to = None if given.to is None else numbered(request, row, given.to, "to")
        target = services.roll_back(actor=actor, deployment=row, to=to, reason=given.reason)
        return Response(revision_data(request, target), status=202)


class ScaleApi(APIView):
    """Another number of replicas, as a new revision."""

    @extend_schema(
        request=request_schema(inputs.ScaleInput), responses={201: DeploymentRevisionOutput}
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.ScaleInput, request.data)
        revision = services.deployment_scale(
            actor=actor, deployment=row, replicas=given.replicas, reason=given.reason
        )
        return made(revision_data(request, revision))


class StopApi(APIView):
    """Take a deployment out of service; running answers finish."""

    @extend_schema(request=request_schema(inputs.ReasonInput), responses=DeploymentOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.ReasonInput, request.data)
        services.deployment_stop(actor=actor, deployment=row, reason=given.reason)
        return Response(DeploymentOutput(deployment_for(request, pk)).data)


class StartApi(APIView):
    """Serve again; where the approval does not stand any more, ask for it first."""

    @extend_schema(request=None, responses={202: DeploymentOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        services.deployment_start(actor=actor, deployment=deployment_for(request, pk))
        return Response(DeploymentOutput(deployment_for(request, pk)).data, status=202)


def numbered(request: Request, row: Deployment, number: int, field: str) -> Revision:
    """A revision that was named by its number in `field`, or FieldError."""
    actor: Any = request.user
    try:
        return selectors.revision_by_number(actor=actor, deployment=row, number=number)
    except NotFound:
        raise FieldError(field, services.no_revision(row, number)) from None
