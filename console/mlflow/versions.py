"""Versions of registered models: made of logged files, found, tagged, moved from stage to stage."""

import re
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body, query
from console.mlflow.experiments import Text
from console.mlflow.names import model_called, version_called
from console.mlflow.registered import ByName, stage_named
from console.mlflow.version_shapes import version_json, version_uri
from models_app.core.errors import FieldError, NotFound, PermissionDenied
from models_app.registry.experiment_selectors import logged_get
from models_app.registry.logged_models import logged_model_of, model_folder, run_key_of
from models_app.registry.models import LoggedRun, ModelVersion
from models_app.registry.search.grammar import Comparison, parse_filter
from models_app.registry.search.tokens import FilterError
from models_app.registry.services import (
    logged_model_register,
    tags_change,
    version_stage_move,
)
from models_app.registry.states import MoveState, VersionState

#: Versions of one answer.
PAGE = 200
#: Where clients say that the files of a version are.
_MODEL = re.compile(r"models:/(?P<id>m-[0-9a-f]{36})")
_FILES = re.compile(
    r"mlflow-artifacts:/+[0-9]+/(?P<run>[0-9a-f]{32})/artifacts(?:/(?P<folder>.*?))?/?"
)
_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})(?:/(?P<folder>.*?))?/?")


class ByVersion(ByName):
    """Which one."""

    version: str | int


class Creation(ByName):
    """A version of files that a run keeps."""

    source: str = Field(max_length=2000)
    run_id: str = ""
    description: str = ""
    tags: list[Text] = Field([], max_length=100)


class Tagging(ByVersion, Text):
    """A tag for a version."""


class Transition(ByVersion):
    """The stage to which a version goes."""

    stage: str
    archive_existing_versions: bool = False


class Search(Asked):
    """Which versions, in pages."""

    filter: str = ""
    max_results: int = Field(PAGE, ge=1, le=200_000)
    page_token: str = ""


class VersionCreateApi(MlflowApi):
    """The next version of a model, of files that a run keeps; ready when it was looked at."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Creation, request)
        model = model_called(actor, given.name)
        logged, folder = _source(actor, given.source)
        version = logged_model_register(
            actor=actor, logged=logged, folder=folder, model=model, notes=given.description
        )
        tags = {tag.key: tag.value for tag in given.tags}
        if tags:
            tags_change(actor=actor, thing=version, tags=tags)
        return Response({"model_version": version_json(actor, version)})


class VersionApi(MlflowApi):
    """One version."""

    def get(self, request: Request) -> Response:
        return _answer(request, _version(request, query(ByVersion, request)))


class VersionUriApi(MlflowApi):
    """Where the files of a version are."""

    def get(self, request: Request) -> Response:
        version = _version(request, query(ByVersion, request))
        return Response({"artifact_uri": version_uri(version)})


class VersionTagApi(MlflowApi):
    """A tag for a version."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Tagging, request)
        version = _version(request, given)
        tags_change(actor=actor, thing=version, tags={given.key: given.value})
        return Response({})


class TransitionApi(MlflowApi):
    """A version goes to a stage, or its approval is asked for: then 403 tells where."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Transition, request)
        if given.archive_existing_versions:
            said = _("Move the others by themselves; each move may need an approval.")
            raise FieldError("archive_existing_versions", said)
        version, stage = _version(request, given), stage_named(given.stage)
        move = version.stage_moves.filter(state=MoveState.WAITING, new=stage).first()
        if move is None:
            reason = _("Asked for by a client of MLflow")
            move = version_stage_move(actor=actor, version=version, to=stage, reason=reason)
        if move.state == MoveState.WAITING:
            href = f"{settings.PUBLIC_URL}{reverse('approval_detail', args=[move.approval])}"
            said = _("%(version)s waits for approval before it goes to %(stage)s: %(href)s")
            words = {"version": version, "stage": move.get_new_display(), "href": href}
            raise PermissionDenied(said % words)
        return _answer(request, _version(request, given))


class VersionSearchApi(MlflowApi):
    """Versions of a model, or of a run, newest first."""

    def get(self, request: Request) -> Response:
        actor: Any = request.user
        given = query(Search, request)
        rows = ModelVersion.objects.visible_to(actor).select_related(
            "model__team", "produced_by", "filled_by"
        )
        rows = rows.filter(**_condition(actor, given.filter)).order_by("-pk")
        if given.page_token:
            if not given.page_token.isdecimal() or len(given.page_token) > 18:
                raise FieldError("page_token", _("Take it from the earlier answer."))
            rows = rows.filter(pk__lt=int(given.page_token))
        most = min(given.max_results, PAGE)
        found = list(rows[: most + 1])
        answer: dict[str, Any] = {"model_versions": [version_json(actor, v) for v in found[:most]]}
        if len(found) > most:
            answer["next_page_token"] = str(found[most - 1].pk)
        return Response(answer)


def _condition(actor: Any, text: str) -> dict[str, Any]:
    node = parse_filter(text)
    if node is None:
        return {}
    if not isinstance(node, Comparison) or node.sign != "=" or node.name:
        raise FilterError(1, _("Versions are found by name = 'model' or run_id = '…' alone."))
    value = node.values[0].text
    if node.field == "name":
        return {"model": model_called(actor, value)}
    if node.field == "run_id":
        return {"produced_by__in": LoggedRun.objects.filter(key=value).values("run")}
    raise FilterError(node.column, _("Versions are found by name = 'model' or run_id = '…' alone."))


def _source(actor: Any, text: str) -> tuple[LoggedRun, str]:
    """The run and the folder that hold the files; FieldError for any other place."""
    model = _MODEL.fullmatch(text)
    if model:
        logged = logged_get(actor=actor, key=run_key_of(model["id"]))
        return logged, model_folder(logged_model_of(logged, model["id"])["id"])
    found = _FILES.fullmatch(text) or _RUN.fullmatch(text)
    if found is None:
        said = _("Versions are made of files of a run here: runs:/…, models:/m-… or its artifacts.")
        raise FieldError("source", said)
    return logged_get(actor=actor, key=found["run"]), found["folder"] or ""


def _version(request: Request, given: ByVersion) -> ModelVersion:
    return version_called(request.user, given.name, str(given.version))


def _answer(request: Request, version: ModelVersion) -> Response:
    return Response({"model_version": version_json(request.user, version)})


def version_files(actor: Any, model_id: str, number: str) -> dict[str, Any]:
    """The files of a version by path; NotFound, or PermissionDenied for one that is withheld."""
    if not (model_id.isdecimal() and number.isdecimal() and len(model_id + number) < 25):
        raise NotFound
    rows = ModelVersion.objects.select_related("model")
    version = rows.get_visible(actor, model=int(model_id), number=int(number))
    if version.state == VersionState.QUARANTINED:
        said = _("%(version)s is quarantined: %(why)s")
        raise PermissionDenied(said % {"version": version, "why": version.error})
    return dict(version.manifest)
