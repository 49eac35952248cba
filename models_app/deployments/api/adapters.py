"""Adapters beside the base of a deployment: listed, added and removed while it serves."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.deployments import services
from models_app.deployments.api import inputs
from models_app.deployments.api.outputs import DeploymentRevisionOutput
from models_app.deployments.api.resources import deployment_for, made, revision_data
from models_app.deployments.beside import adapter_list

LISTED = object_schema("The adapters", adapters="array")


class AdapterListApi(APIView):
    """What is asked for as `team/deployment:name`; `state` is loaded, loading, unloading or
    out_of_use. Adding one makes a new revision, which asks for approval where it has to.
    """

    @extend_schema(responses=LISTED)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        rows = adapter_list(actor=actor, deployment=deployment_for(request, pk))
        return Response({"adapters": [row.to_dict() for row in rows]})

    @extend_schema(
        request=request_schema(inputs.AdapterInput), responses={201: DeploymentRevisionOutput}
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.AdapterInput, request.data)
        revision = services.deployment_adapter_add(
            actor=actor,
            deployment=row,
            name=given.name,
            model_version=inputs.version_of(actor, given.model_version),
            reason=given.reason,
        )
        return made(revision_data(request, revision))


class AdapterDetailApi(APIView):
    """One of them."""

    @extend_schema(
        parameters=[OpenApiParameter("reason", str)], responses={202: DeploymentRevisionOutput}
    )
    def delete(self, request: Request, pk: int, name: str) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        revision = services.deployment_adapter_remove(
            actor=actor,
            deployment=row,
            name=name,
            reason=request.query_params.get("reason", "")[:2000],
        )
        return Response(revision_data(request, revision), status=202)
