"""What environments change, and what they get."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs import selectors
from models_app.configs.api.inputs import OverlayInput, expected, patch_of
from models_app.configs.api.outputs import OverlayOutput
from models_app.configs.api.resources import IF_MATCH
from models_app.configs.documents import spec_yaml
from models_app.configs.environments import check_environment
from models_app.configs.models import OverlayRevision
from models_app.configs.services import effective_spec, overlay_revise
from models_app.core.errors import Conflict, FieldError, NotFound, PreconditionFailed
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse


class OverlayListApi(ListAPIView[OverlayRevision]):
    """Revisions of what an environment changes of a configuration, newest first."""

    serializer_class = OverlayOutput
    pagination_class = Page
    queryset = OverlayRevision.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        config = selectors.config_get(actor=actor, config_id=self.kwargs["pk"])
        return selectors.overlay_list(
            actor=actor, config=config, environment=_environment(self.kwargs["environment"])
        )

    @extend_schema(
        request=request_schema(OverlayInput),
        responses={201: OverlayOutput},
        parameters=[IF_MATCH],
    )
    def post(self, request: Request, pk: int, environment: str) -> Response:
        actor: Any = request.user
        config = selectors.config_get(actor=actor, config_id=pk)
        given = parse(OverlayInput, request.data)
        base, by_tag = expected(request, given.base_revision)
        try:
            row = overlay_revise(
                actor=actor, config=config, environment=_environment(environment),
                patch=patch_of(given), reason=given.reason, base=base,
            )  # fmt: skip
        except Conflict as error:
            raise PreconditionFailed(error.message, **error.extra) if by_tag else error from None
        return created(OverlayOutput(row).data)


class EffectiveApi(APIView):
    """What an environment gets now: the newest revision with the newest overlay."""

    @extend_schema(
        responses=object_schema(
            "The whole, and which revision each part is from",
            revision="integer",
            overlay={"type": ["integer", "null"]},
            digest="string",
            spec="object",
            yaml="string",
            sources="object",
        )
    )
    def get(self, request: Request, pk: int, environment: str) -> Response:
        actor: Any = request.user
        config = selectors.config_get(actor=actor, config_id=pk)
        newest = selectors.revision_newest(config)
        if newest is None:
            raise NotFound
        overlay = selectors.overlay_newest(config, _environment(environment))
        whole = effective_spec(config.kind, newest.spec, overlay.patch if overlay else {})
        plain = whole.spec.plain()
        return Response(
            {
                "revision": newest.pk,
                "overlay": overlay.pk if overlay else None,
                "digest": whole.digest,
                "spec": plain,
                "yaml": spec_yaml(config.kind, plain),
                "sources": {name: whole.source_of(name) for name in plain},
            }
        )


def _environment(name: str) -> str:
    """An environment of an address: an unknown one is missing, not a wrong field."""
    try:
        return check_environment(name)
    except FieldError as error:
        raise NotFound(error.errors["environment"][0]) from None
