"""Deployments, their revisions, replicas and calls: read and made."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.pagination import Page
from models_app.core.schema import object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.deployments import selectors
from models_app.deployments.api import inputs
from models_app.deployments.api.outputs import (
    DeploymentOutput,
    DeploymentReplicaOutput,
    DeploymentRequestOutput,
    DeploymentRevisionOutput,
    DeploymentScalingOutput,
)
from models_app.deployments.models import Deployment, Replica, RequestRecord, Revision, ScalingEvent
from models_app.deployments.preview import rollout_plan
from models_app.deployments.request_log import RequestFilter, requests_found
from models_app.deployments.services import (
    deployment_change,
    deployment_create,
    revision_create,
)
from models_app.deployments.services.settings import chosen_settings

FILTERS = ("team", "environment", "name")
PAGING = ("cursor", "page_size", "format")
FILTER_TYPES: dict[str, Any] = {
    **dict.fromkeys(("status", "revision", "replica"), int),
    **dict.fromkeys(("reused", "degraded", "resumed", "mirrored"), bool),
    **dict.fromkeys(("slower_ms",), float),
    **dict.fromkeys(("since", "until"), OpenApiTypes.DATETIME),
}


def deployment_for(request: Request, pk: int) -> Deployment:
    """The deployment, or NotFound."""
    actor: Any = request.user
    return selectors.deployment_get(actor=actor, deployment_id=pk)


def made(data: Any) -> Response:
    """201 with the address of what was made."""
    return Response(data, status=201, headers={"Location": data["url"]})


def revision_data(request: Request, revision: Revision) -> Any:
    """A revision as it is now."""
    actor: Any = request.user
    row = selectors.revision_list(actor=actor).get(pk=revision.pk)
    return DeploymentRevisionOutput(row).data


class DeploymentListApi(ListAPIView[Deployment]):
    """Deployments of your teams."""

    serializer_class = DeploymentOutput
    pagination_class = Page
    queryset = Deployment.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.deployment_list(
            actor=actor, **{name: query.get(name, "") for name in FILTERS}
        )

    @extend_schema(parameters=[OpenApiParameter(name, str) for name in FILTERS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=request_schema(inputs.DeploymentInput), responses={201: DeploymentOutput}
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(inputs.DeploymentInput, request.data)
        row = deployment_create(
            actor=actor,
            team=team_named(actor, given.team),
            name=given.name,
            environment=inputs.environment_of(given.environment),
            description=given.description,
        )
        return made(DeploymentOutput(deployment_for(request, row.pk)).data)


class DeploymentDetailApi(APIView):
    """One deployment."""

    @extend_schema(responses=DeploymentOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(DeploymentOutput(deployment_for(request, pk)).data)

    @extend_schema(request=request_schema(inputs.DescriptionInput), responses=DeploymentOutput)
    def patch(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.DescriptionInput, request.data)
        deployment_change(actor=actor, deployment=row, description=given.description)
        return Response(DeploymentOutput(deployment_for(request, pk)).data)


class RevisionListApi(ListAPIView[Revision]):
    """Revisions, newest first. A new one rolls out, or waits for approval."""

    serializer_class = DeploymentRevisionOutput
    pagination_class = Page
    queryset = Revision.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        row = deployment_for(self.request, self.kwargs["pk"])
        return selectors.revision_list(actor=actor, deployment=row)

    @extend_schema(
        request=request_schema(inputs.RevisionInput), responses={201: DeploymentRevisionOutput}
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.RevisionInput, request.data)
        revision = revision_create(
            actor=actor,
            deployment=row,
            model_version=inputs.version_of(actor, given.model_version),
            **inputs.settings_of(actor, given),
            adapters=inputs.adapters_of(actor, given),
            reason=given.reason,
        )
        return made(revision_data(request, revision))


class RevisionDetailApi(APIView):
    """One revision, by its number."""

    @extend_schema(responses=DeploymentRevisionOutput)
    def get(self, request: Request, pk: int, number: int) -> Response:
        actor: Any = request.user
        row = selectors.revision_by_number(
            actor=actor, deployment=deployment_for(request, pk), number=number
        )
        return Response(DeploymentRevisionOutput(row).data)


class ReplicaListApi(ListAPIView[Replica]):
    """Model servers that live; `all=true` adds those of the past."""

    serializer_class = DeploymentReplicaOutput
    pagination_class = Page
    queryset = Replica.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        row = deployment_for(self.request, self.kwargs["pk"])
        past = self.request.query_params.get("all") == "true"
        return selectors.replica_list(actor=actor, deployment=row, stopped=past)

    @extend_schema(parameters=[OpenApiParameter("all", bool)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class RequestListApi(ListAPIView[RequestRecord]):
    """Calls through the gateway, newest first; every filter given must apply."""

    serializer_class = DeploymentRequestOutput
    pagination_class = Page
    queryset = RequestRecord.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        row = deployment_for(self.request, self.kwargs["pk"])
        query = self.request.query_params.dict()
        asked = {name: text for name, text in query.items() if name not in PAGING}
        return requests_found(actor=actor, deployment=row, wanted=parse(RequestFilter, asked))

    @extend_schema(
        parameters=[
            OpenApiParameter(name, FILTER_TYPES.get(name, str), description=field.description or "")
            for name, field in RequestFilter.model_fields.items()
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ScalingListApi(ListAPIView[ScalingEvent]):
    """Changes of the wanted number of replicas, newest first."""

    serializer_class = DeploymentScalingOutput
    pagination_class = Page
    queryset = ScalingEvent.objects.none()

    def get_queryset(self) -> Any:
        row = deployment_for(self.request, self.kwargs["pk"])
        return ScalingEvent.objects.filter(deployment=row).order_by("-id")


class PlanApi(APIView):
    """What a new revision would do, before it is made: nothing is stored."""

    @extend_schema(
        request=request_schema(inputs.PlanInput),
        responses=object_schema(
            "The plan",
            replicas_to_start="integer",
            memory_per_replica_bytes="integer",
            memory_total_bytes="integer",
            approvals_needed="integer",
            environment="string",
            strategy="string",
            room="string",
            pool="string",
            places_free="integer",
            replicas_serving="integer",
            loading_seconds="number",
            loading_measured="boolean",
            downtime_seconds="number",
            steps={"type": "array", "items": {"type": "object", "additionalProperties": {}}},
            summary="string",
            room_text="string",
            downtime_text="string",
            running_text="string",
            warnings={"type": "array", "items": {"type": "string"}},
            way_back="string",
        ),
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = deployment_for(request, pk)
        given = parse(inputs.PlanInput, request.data)
        version = inputs.version_of(actor, given.model_version)
        settings = chosen_settings(actor, row, **inputs.settings_of(actor, given))
        return Response(rollout_plan(row, version, settings.spec))
