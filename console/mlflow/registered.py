"""Registered models and their aliases: our models."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body, query
from console.mlflow.experiments import Text
from console.mlflow.named import name_condition
from console.mlflow.names import model_called, team_for_model, version_called
from console.mlflow.problems import Exists
from console.mlflow.version_shapes import model_json, version_json
from models_app.core.errors import Conflict, FieldError, NotFound
from models_app.registry.models import Alias, Model
from models_app.registry.naming import version_newest
from models_app.registry.search.grammar import parse_filter
from models_app.registry.services import alias_delete, alias_set, model_create, tags_change
from models_app.registry.states import Stage, VersionState

#: Models of one answer.
PAGE = 100


class ByName(Asked):
    """Which one."""

    name: str = Field(min_length=1, max_length=256)


class Creation(ByName):
    """A new one."""

    description: str = ""
    tags: list[Text] = Field([], max_length=100)


class ByAlias(ByName):
    """Which alias."""

    alias: str


class AliasMove(ByAlias):
    """Where an alias points from now on."""

    version: str | int


class Search(Asked):
    """Which models, in pages."""

    filter: str = ""
    max_results: int = Field(PAGE, ge=1, le=1000)
    page_token: str = ""


class Latest(ByName):
    """The newest version of which stages; without any, of all."""

    stages: list[str] = []


class ModelCreateApi(MlflowApi):
    """A new model without versions."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Creation, request)
        team, name = team_for_model(actor, given.name)
        try:
            model = model_create(actor=actor, team=team, name=name, description=given.description)
        except Conflict as error:
            raise Exists(error.message) from None
        tags = {tag.key: tag.value for tag in given.tags}
        if tags:
            tags_change(actor=actor, thing=model, tags=tags)
        return Response({"registered_model": model_json(actor, model)})


class ModelApi(MlflowApi):
    """One model with its aliases."""

    def get(self, request: Request) -> Response:
        model = model_called(request.user, query(ByName, request).name)
        return Response({"registered_model": model_json(request.user, model)})


class ModelSearchApi(MlflowApi):
    """Models by name."""

    def get(self, request: Request) -> Response:
        actor: Any = request.user
        given = query(Search, request)
        most = min(given.max_results, PAGE)
        rows = Model.objects.select_related("team").visible_to(actor).order_by("pk")
        if given.page_token:
            if not given.page_token.isdecimal() or len(given.page_token) > 18:
                raise FieldError("page_token", _("Take it from the earlier answer."))
            rows = rows.filter(Q(pk__gt=int(given.page_token)))
        found = list(rows.filter(name_condition(parse_filter(given.filter)))[: most + 1])
        answer: dict[str, Any] = {
            "registered_models": [model_json(actor, model) for model in found[:most]]
        }
        if len(found) > most:
            answer["next_page_token"] = str(found[most - 1].pk)
        return Response(answer)


class LatestVersionsApi(MlflowApi):
    """The newest ready version, or that of each stage which is named."""

    only_reads = True

    def get(self, request: Request) -> Response:
        stages = request.query_params.getlist("stages")
        return self._answer(request, query(ByName, request).name, stages)

    def post(self, request: Request) -> Response:
        given = body(Latest, request)
        return self._answer(request, given.name, given.stages)

    def _answer(self, request: Request, name: str, stages: list[str]) -> Response:
        model = model_called(request.user, name)
        if not stages:
            newest = version_newest(model)
            found = [newest] if newest else []
        else:
            ready = model.versions.filter(state=VersionState.READY).select_related("model__team")
            rows = [ready.filter(stage=stage_named(text)).order_by("-number") for text in stages]
            found = [version for row in rows for version in row[:1]]
        return Response({"model_versions": [version_json(request.user, v) for v in found]})


class AliasApi(MlflowApi):
    """The version to which an alias points; moved, taken away."""

    def get(self, request: Request) -> Response:
        given = query(ByAlias, request)
        model = model_called(request.user, given.name)
        rows = Alias.objects.select_related("version__model__team")
        alias = rows.filter(model=model, name=given.alias[:64]).first()
        if alias is None:
            said = _("%(model)s has no alias %(name)s.")
            raise NotFound(said % {"model": model, "name": given.alias[:64]})
        return Response({"model_version": version_json(request.user, alias.version)})

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(AliasMove, request)
        version = version_called(actor, given.name, str(given.version))
        alias_set(actor=actor, model=version.model, name=given.alias, version=version)
        return Response({})

    def delete(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(ByAlias, request) if request.data else query(ByAlias, request)
        alias_delete(actor=actor, model=model_called(actor, given.name), name=given.alias)
        return Response({})


def stage_named(text: str) -> str:
    """`Production` as our own `production`, or FieldError."""
    stage = text.lower()
    if stage not in Stage.values:
        raise FieldError("stage", _("Use None, Staging, Production or Archived."))
    return stage
