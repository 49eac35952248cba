"""Trainings: estimate, start, start again."""

from typing import Any, Literal

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs.selectors import revision_get
from models_app.core.errors import FieldError, NotFound
from models_app.core.responses import accepted
from models_app.core.schema import object_schema, request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.datasets.selectors import version_get as dataset_version_get
from models_app.registry import selectors
from models_app.registry.api.runs import LIST, SEARCHED, runs_answer
from models_app.registry.api.versions import ModelVersionOutput
from models_app.registry.estimates import training_estimate
from models_app.registry.families import spec_kind
from models_app.registry.services import training_rerun, training_start


class PlanInput(BaseModel):
    """What a training would be made of."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    dataset_version: int
    config: dict[str, Any] | None = Field(None, description="See configs/schema/training")
    config_revision: int | None = Field(
        None, ge=1, le=1 << 62, description="A training configuration's revision instead"
    )
    base_version: int | None = None


class EstimateInput(PlanInput):
    """What a training would be made of, and of which family the model would be."""

    family: Literal["transformer", "adapter", "ngram", "hmm"] = "transformer"
    pool: str = Field("", description="Where it would run; the default pool if left out")
    resources: dict[str, Any] = Field(
        {}, description="cpus, memory_mib, disk_mib, gpus, node_selector"
    )


class TrainingInput(PlanInput):
    """A training of a new version of a model of this name or id, which must exist."""

    model: str | int
    reason: str = Field("", description="Why; one line")
    priority: int = Field(0, ge=-100, le=100)
    pool: str = Field("", description="Where it runs; the default pool if left out")
    resources: dict[str, Any] = Field(
        {}, description="cpus, memory_mib, disk_mib, gpus, node_selector"
    )


class RerunInput(BaseModel):
    """Settings that differ from those of the version."""

    model_config = ConfigDict(extra="forbid")
    changes: dict[str, Any] = Field(default_factory=dict)
    dataset_version: int | None = Field(None, description="Other data; the same if it is left out")
    reason: str = Field("", description="Why; one line")


class EstimateApi(APIView):
    """What a training would take, without starting it: memory, FLOPs, time, energy, and where."""

    @extend_schema(
        request=request_schema(EstimateInput),
        responses=object_schema(
            "What it would take",
            parameters="integer",
            memory_bytes="integer",
            memory="object",
            node_memory_bytes="integer",
            tokens_seen="integer",
            dataset_tokens="integer",
            epochs="number",
            step_flops="number",
            token_flops="number",
            serving="object",
            seconds="object",
            energy="object",
            no_energy="string",
            nodes="array",
        ),
    )
    def post(self, request: Request) -> Response:
        given = parse(EstimateInput, request.data)
        parts = training_parts(request.user, given, given.family)
        parts.pop("config_revision", None)
        found = training_estimate(
            **parts, family=given.family, pool=given.pool, resources=given.resources
        )
        return Response(found.to_dict())


class TrainingListApi(APIView):
    """Search trainings, here and elsewhere; start one: a pending version and its job."""

    @extend_schema(
        parameters=[
            *SEARCHED,
            OpenApiParameter("cursor", str),
            OpenApiParameter("page_size", int),
        ],
        responses=LIST,
        operation_id="training_runs_search",
    )
    def get(self, request: Request) -> Response:
        """Runs of your teams that match `filter`, newest first or in `order`."""
        return runs_answer(request)

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(TrainingInput),
        responses={202: ModelVersionOutput},
    )
    def post(self, request: Request) -> Response:
        """Start a training. Answers the same for a repeated key."""
        actor: Any = request.user
        given = parse(TrainingInput, request.data)
        model = model_asked(actor, team_named(actor, given.team), given.model)
        version = training_start(
            **training_parts(actor, given, model.family),
            model=model,
            reason=given.reason,
            priority=given.priority,
            pool=given.pool,
            resources=given.resources,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return accepted(ModelVersionOutput(version).data)


class TrainingRerunApi(APIView):
    """Train again as a version was trained, or with some settings changed."""

    @extend_schema(request=request_schema(RerunInput), responses={202: ModelVersionOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        version = selectors.version_get(actor=actor, version_id=pk)
        given = parse(RerunInput, request.data or {})
        data = given.dataset_version
        again = training_rerun(
            actor=actor,
            version=version,
            changes=given.changes,
            dataset_version=None if data is None else _data(actor, data),
            reason=given.reason,
        )
        return accepted(ModelVersionOutput(again).data)


def training_parts(actor: Any, given: PlanInput, family: str) -> dict[str, Any]:
    """The rows that ids of the request name; what is hidden counts as missing."""
    return {
        "actor": actor,
        "team": team_named(actor, given.team),
        **_settings(actor, given, spec_kind(family)),
        "dataset_version": _data(actor, given.dataset_version),
        "base_version": None
        if given.base_version is None
        else _row(
            "base_version",
            lambda: selectors.version_get(actor=actor, version_id=given.base_version or 0),
        ),
    }


def _data(actor: Any, key: int) -> Any:
    return _row("dataset_version", lambda: dataset_version_get(actor=actor, version_id=key))


def _settings(actor: Any, given: PlanInput, kind: str) -> dict[str, Any]:
    """What decides the training: given here, or by a revision that it then belongs to."""
    if (given.config is None) == (given.config_revision is None):
        said = _("Send the settings as “config” or as “config_revision”, not as both.")
        raise FieldError("config", said)
    if given.config is not None:
        return {"spec": given.config}
    key = given.config_revision or 0
    revision = _row("config_revision", lambda: revision_get(actor=actor, revision_id=key))
    if revision.config.kind != kind:
        said = _("Choose a configuration of the kind “%(kind)s”.") % {"kind": kind}
        raise FieldError("config_revision", said)
    return {"spec": revision.spec, "config_revision": revision}


def model_asked(actor: Any, team: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return _row("model", lambda: selectors.model_get(actor=actor, model_id=key))
    return _row("model", lambda: selectors.model_named(actor=actor, team=team.slug, name=key))


def _row(field: str, find: Any) -> Any:
    try:
        return find()
    except NotFound as error:
        raise FieldError(field, error.message) from None
