"""Experiments: found by name and id, made, searched, noted on."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body, query
from console.mlflow.groups import experiment_called, experiment_numbered, team_and_name
from console.mlflow.named import name_condition
from console.mlflow.problems import Exists
from console.mlflow.shapes import experiment_json
from models_app.core.errors import Conflict, FieldError
from models_app.registry.experiment_selectors import experiments_visible
from models_app.registry.search.grammar import parse_filter
from models_app.registry.services import experiment_create, experiment_tag

#: MLflow's own limits of texts on experiments.
LONGEST_TAG_NAME, LONGEST_TAG = 250, 20_000


class Text(Asked):
    """A name with its text."""

    key: str = Field(min_length=1, max_length=LONGEST_TAG_NAME)
    value: str = Field("", max_length=LONGEST_TAG)


class ByName(Asked):
    """Which one."""

    experiment_name: str


class ById(Asked):
    """Which one."""

    experiment_id: str


class Creation(Asked):
    """A new experiment."""

    name: str
    tags: list[Text] = Field([], max_length=100)
    artifact_location: str = ""


class Tagging(ById, Text):
    """A text for an experiment."""


class Search(Asked):
    """Which experiments, in pages."""

    max_results: int = Field(1000, ge=1, le=50_000)
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = []
    view_type: str = "ACTIVE_ONLY"


class ExperimentByNameApi(MlflowApi):
    """An experiment by its name."""

    def get(self, request: Request) -> Response:
        given = query(ByName, request)
        return _answer(request, experiment_called(request.user, given.experiment_name))


class ExperimentApi(MlflowApi):
    """An experiment by its id."""

    def get(self, request: Request) -> Response:
        given = query(ById, request)
        return _answer(request, experiment_numbered(request.user, given.experiment_id))


class ExperimentCreateApi(MlflowApi):
    """A new experiment."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Creation, request)
        if given.artifact_location:
            said = _("Files lie in the console's store: leave it out.")
            raise FieldError("artifact_location", said)
        team, name = team_and_name(actor, given.name)
        tags = {tag.key: tag.value for tag in given.tags}
        try:
            experiment = experiment_create(actor=actor, team=team, name=name, tags=tags)
        except Conflict as error:
            raise Exists(error.message) from None
        return Response({"experiment_id": str(experiment.pk)})


class ExperimentTagApi(MlflowApi):
    """A text for an experiment."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Tagging, request)
        experiment = experiment_numbered(actor, given.experiment_id)
        experiment_tag(actor=actor, experiment=experiment, name=given.key, value=given.value)
        return Response({})


class ExperimentSearchApi(MlflowApi):
    """Experiments, newest first."""

    only_reads = True

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Search, request)
        if given.view_type == "DELETED_ONLY":
            return Response({"experiments": []})
        if given.page_token and not given.page_token.isdecimal():
            raise FieldError("page_token", _("Take it from the earlier answer."))
        if any(not one.startswith(("creation_time", "last_update")) for one in given.order_by):
            raise FieldError("order_by", _("Experiments come newest first, in no other order."))
        rows = experiments_visible(actor).filter(name_condition(parse_filter(given.filter)))
        if given.page_token:
            rows = rows.filter(pk__lt=int(given.page_token[:18]))
        found = list(rows.order_by("-pk")[: given.max_results + 1])
        shown = found[: given.max_results]
        answer: dict[str, Any] = {"experiments": [experiment_json(actor, one) for one in shown]}
        if len(found) > len(shown):
            answer["next_page_token"] = str(shown[-1].pk)
        return Response(answer)


def _answer(request: Request, experiment: Any) -> Response:
    return Response({"experiment": experiment_json(request.user, experiment)})
