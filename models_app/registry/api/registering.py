"""Versions of runs that work elsewhere: registered beforehand, given up if no files come."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.core.errors import FieldError, NotFound
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.api.versions import (
    KEY,
    ModelVersionOutput,
    Reason,
    VersionApi,
    VersionListApi,
)
from models_app.registry.run_selectors import run_get
from models_app.registry.services import version_give_up, version_register


class VersionInput(BaseModel):
    """The run that made it, which works elsewhere."""

    model_config = ConfigDict(extra="forbid")
    run: int = Field(ge=1, lt=1 << 63)
    notes: str = ""


class VersionsOfModelApi(VersionListApi):
    """Versions of one model, newest first; a new one for a run that works elsewhere."""

    @extend_schema(
        parameters=[OpenApiParameter("state", str), OpenApiParameter("stage", str)],
        operation_id="models_versions_list",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[KEY],
        request=request_schema(VersionInput),
        responses={201: ModelVersionOutput},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Register a version, pending until files were imported or pushed for it."""
        actor: Any = request.user
        given = parse(VersionInput, request.data)
        model = selectors.model_get(actor=actor, model_id=pk)
        try:
            run = run_get(actor=actor, run_id=given.run)
        except NotFound as error:
            raise FieldError("run", error.message) from None
        version = version_register(
            actor=actor, model=model, run=run, notes=given.notes,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )  # fmt: skip
        return created(ModelVersionOutput(version).data)


class GiveUpApi(VersionApi):
    """Let a version fail whose files will never come: it waits for those of a run elsewhere."""

    @extend_schema(request=request_schema(Reason), responses=ModelVersionOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        reason = parse(Reason, request.data).reason
        version = version_give_up(actor=actor, version=self.version(pk), reason=reason)
        return Response(ModelVersionOutput(version).data)
