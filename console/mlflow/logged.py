"""Models that programs log with their runs; their files are files of the run."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body
from console.mlflow.groups import experiments_numbered
from console.mlflow.runs import LONGEST_KEY, LONGEST_TAG, MOST_TAGS, ByRun, Tag, now_ms
from console.mlflow.shapes import ARTIFACTS
from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.registry.experiment_selectors import logged_get, logged_views
from models_app.registry.logged_models import logged_model_of, model_folder, run_key_of
from models_app.registry.models import LoggedRun
from models_app.registry.services import logged_model_begin, logged_model_change

STATUSES = ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")
#: Models of one answer.
MOST = 1000


class Creation(Asked):
    """A new one. Its parameters are those of its run, whatever is sent here."""

    experiment_id: str = ""
    name: str = Field("model", max_length=200)
    model_type: str = Field("", max_length=LONGEST_KEY)
    source_run_id: str = ""
    tags: list[Tag] = Field([], max_length=MOST_TAGS)


class Status(Asked):
    """What became of it."""

    status: str


class Tags(Asked):
    """Tags that are added, or change."""

    tags: list[Tag] = Field([], max_length=MOST_TAGS)


class Output(Asked):
    """A model that a run made, and at which step."""

    model_id: str
    step: int = Field(0, ge=0, lt=1 << 62)


class Outputs(ByRun):
    """Models that a run made."""

    models: list[Output] = Field([], max_length=MOST)


class Search(Asked):
    """Of which experiments."""

    experiment_ids: list[str] = Field([], max_length=1000)
    filter: str = Field("", max_length=LONGEST_TAG)


class LoggedModelsApi(MlflowApi):
    """A run gets a model."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Creation, request)
        if not given.source_run_id:
            said = _("Log models inside a run: with mlflow.start_run().")
            raise FieldError("source_run_id", said)
        logged = logged_get(actor=actor, key=given.source_run_id[:64])
        made = logged_model_begin(
            actor=actor, logged=logged, name=given.name, kind=given.model_type, at_ms=now_ms(),
            tags={tag.key: tag.value for tag in given.tags},
        )  # fmt: skip
        return Response({"model": logged_json(logged, made)})


class LoggedModelApi(MlflowApi):
    """One model: read, and told that its files are there."""

    def get(self, request: Request, model_id: str) -> Response:
        logged = _run(request, model_id)
        return Response({"model": logged_json(logged, logged_model_of(logged, model_id))})

    def patch(self, request: Request, model_id: str) -> Response:
        actor: Any = request.user
        given = body(Status, request)
        if given.status not in STATUSES:
            raise FieldError("status", one_of(STATUSES))
        logged = _run(request, model_id)
        changed = logged_model_change(
            actor=actor, logged=logged, text=model_id, status=given.status
        )
        return Response({"model": logged_json(logged, changed)})


class LoggedModelTagsApi(MlflowApi):
    """Tags of a model."""

    def patch(self, request: Request, model_id: str) -> Response:
        actor: Any = request.user
        given = body(Tags, request)
        logged = _run(request, model_id)
        tags = {tag.key: tag.value for tag in given.tags}
        changed = logged_model_change(actor=actor, logged=logged, text=model_id, tags=tags)
        return Response({"model": logged_json(logged, changed)})


class LoggedModelParamsApi(MlflowApi):
    """Parameters of a model: they are those of its run already."""

    def post(self, request: Request, model_id: str) -> Response:
        logged = _run(request, model_id)
        logged_model_of(logged, model_id)
        return Response({})


class OutputsApi(MlflowApi):
    """At which steps a run made its models."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Outputs, request)
        logged = logged_get(actor=actor, key=given.run)
        for one in given.models:
            logged_model_change(actor=actor, logged=logged, text=one.model_id, step=one.step)
        return Response({})


class LoggedModelSearchApi(MlflowApi):
    """Models of some experiments, newest first."""

    only_reads = True

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Search, request)
        if given.filter:
            raise FieldError("filter", _("Logged models are found by their experiments alone."))
        experiments = experiments_numbered(actor, given.experiment_ids)
        rows = LoggedRun.objects.select_related("experiment", "run__job", "run__created_by")
        with_models = rows.visible_to(actor).filter(experiment__in=experiments)
        found = [
            logged_json(logged, model)
            for logged in with_models.exclude(logged_models=[]).order_by("-run")[:MOST]
            for model in reversed(logged.logged_models)
        ]
        return Response({"models": found[:MOST]})


def logged_json(logged: LoggedRun, model: dict[str, Any]) -> dict[str, Any]:
    """A logged model (`LoggedModel` of `mlflow/protos/service.proto`)."""
    view = logged_views([logged])[0]
    folder = model_folder(model["id"])
    return {
        "info": {
            "model_id": model["id"],
            "experiment_id": str(logged.experiment_id),
            "name": model["name"],
            "creation_timestamp_ms": model["created_ms"],
            "last_updated_timestamp_ms": model["created_ms"],
            "artifact_uri": f"{ARTIFACTS}{logged.experiment_id}/{logged.key}/artifacts/{folder}",
            "status": model["status"],
            "model_type": model["type"],
            "source_run_id": logged.key,
            "tags": [{"key": name, "value": text} for name, text in model["tags"].items()],
        },
        "data": {"params": [{"key": n, "value": text} for n, text in view.params.items()]},
    }


def _run(request: Request, model_id: str) -> LoggedRun:
    actor: Any = request.user
    return logged_get(actor=actor, key=run_key_of(model_id))
