"""Configurations and their revisions."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs import selectors
from models_app.configs.api.inputs import ConfigInput, RevisionInput, expected
from models_app.configs.api.outputs import ConfigOutput, RevisionOutput
from models_app.configs.documents import given_spec, revision_yaml
from models_app.configs.models import Config, ConfigRevision
from models_app.configs.services import config_save
from models_app.core.errors import Conflict, PreconditionFailed
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="ETag of what was changed"
)


class ConfigListApi(ListAPIView[Config]):
    """Configurations of your teams; making one stores its first revision."""

    serializer_class = ConfigOutput
    pagination_class = Page
    queryset = Config.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        query = self.request.query_params
        return selectors.config_list(
            actor=actor,
            team=query.get("team", ""),
            kind=query.get("kind", ""),
            name=query.get("name", ""),
        )

    @extend_schema(
        parameters=[OpenApiParameter(name, str) for name in ("team", "kind", "name")],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=request_schema(ConfigInput), responses={201: RevisionOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(ConfigInput, request.data)
        revision = config_save(
            actor=actor,
            team=team_named(actor, given.team),
            kind=given.kind,
            name=given.name,
            spec=given_spec(given.kind, given.spec, given.yaml),
            reason=given.reason,
            base=given.base_revision,
        )
        return created(RevisionOutput(revision).data)


class ConfigDetailApi(APIView):
    """One configuration; its ETag names the newest revision."""

    @extend_schema(responses=ConfigOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        config = selectors.config_get(actor=actor, config_id=pk)
        newest = selectors.revision_newest(config)
        headers = {"ETag": f'"r{newest.number if newest else 0}"'}
        return Response(ConfigOutput(config).data, headers=headers)


class RevisionListApi(ListAPIView[ConfigRevision]):
    """Revisions of a configuration, newest first."""

    serializer_class = RevisionOutput
    pagination_class = Page
    queryset = ConfigRevision.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        config = selectors.config_get(actor=actor, config_id=self.kwargs["pk"])
        return selectors.revision_list(actor=actor, config=config)

    @extend_schema(
        request=request_schema(RevisionInput),
        responses={201: RevisionOutput},
        parameters=[IF_MATCH],
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(RevisionInput, request.data)
        config = selectors.config_get(actor=actor, config_id=pk)
        base, by_tag = expected(request, given.base_revision)
        try:
            revision = config_save(
                actor=actor, team=config.team, kind=config.kind, name=config.name,
                spec=given_spec(config.kind, given.spec, given.yaml), reason=given.reason,
                base=base,
            )  # fmt: skip
        except Conflict as error:
            raise PreconditionFailed(error.message, **error.extra) if by_tag else error from None
        return created(RevisionOutput(revision).data)


class RevisionDetailApi(APIView):
    """One revision."""

    @extend_schema(responses=RevisionOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        row = selectors.revision_get(actor=actor, revision_id=pk)
        return Response(RevisionOutput(row).data, headers={"ETag": f'"{row.digest}"'})


class RevisionYamlApi(APIView):
    """One revision as a YAML file, with a line that tells editors its schema."""

    @extend_schema(
        responses={(200, "application/yaml"): OpenApiResponse(OpenApiTypes.STR, "The settings")}
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        actor: Any = request.user
        return yaml_file(request, selectors.revision_get(actor=actor, revision_id=pk))


def yaml_file(request: Any, revision: ConfigRevision) -> HttpResponse:
    """The download of a revision."""
    config = revision.config
    schema = request.build_absolute_uri(reverse("api_config_schema", args=[config.kind]))
    name = f"{config.name}-r{revision.number}.{config.kind}.yaml"
    return HttpResponse(
        revision_yaml(revision, schema),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
