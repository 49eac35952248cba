"""Runs: begun, read, ended, renamed, searched; never deleted."""

import time
from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body, query
from console.mlflow.filters import run_order, run_tree
from console.mlflow.groups import DEFAULT_ID, experiment_numbered, experiments_numbered
from console.mlflow.problems import Unsupported
from console.mlflow.shapes import ENDS, NAME_TAG, info_json, run_json
from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.registry.experiment_selectors import (
    logged_get,
    logged_in_order,
    logged_views,
)
from models_app.registry.models import LoggedRun
from models_app.registry.search.query import run_search
from models_app.registry.services import (
    logged_run_begin,
    logged_run_end,
    logged_run_resume,
    run_rename,
)

#: MLflow's own limits.
LONGEST_KEY, LONGEST_TAG, MOST_TAGS = 250, 8000, 100
#: Runs of one page, whatever was asked.
PAGE = 1000
#: The years 1970 to 9999, in milliseconds.
LATEST_MS = 253_402_300_799_999


class Tag(Asked):
    """A tag."""

    key: str = Field(min_length=1, max_length=LONGEST_KEY)
    value: str = Field("", max_length=LONGEST_TAG)


class ByRun(Asked):
    """Which one. `run_uuid` is what older clients call it."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        """What it is called, or FieldError."""
        key = self.run_id or self.run_uuid
        if not key:
            raise FieldError("run_id", _("Say which run."))
        return key[:64]


class Creation(Asked):
    """A new run."""

    experiment_id: str = DEFAULT_ID
    run_name: str = ""
    start_time: int | None = Field(None, ge=0, le=LATEST_MS)
    tags: list[Tag] = Field([], max_length=MOST_TAGS)


class Change(ByRun):
    """What becomes of a run."""

    status: str = ""
    end_time: int | None = Field(None, ge=0, le=LATEST_MS)
    run_name: str = ""


class Search(Asked):
    """Which runs, in which order, in pages."""

    experiment_ids: list[str] = Field([], max_length=1000)
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = Field(PAGE, ge=1, le=50_000)
    order_by: list[str] = Field([], max_length=10)
    page_token: str = ""


def run_of(request: Request, given: ByRun) -> LoggedRun:
    """The run that a request is about, with its job; or NotFound."""
    actor: Any = request.user
    return logged_get(actor=actor, key=given.run)


class RunCreateApi(MlflowApi):
    """A run begins."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Creation, request)
        experiment = experiment_numbered(actor, given.experiment_id)
        tags = {tag.key: tag.value for tag in given.tags}
        name = given.run_name or tags.get(NAME_TAG, "")
        tags.pop(NAME_TAG, None)
        started = given.start_time
        logged = logged_run_begin(
            actor=actor, experiment=experiment, name=name, tags=tags,
            started_ms=now_ms() if started is None else started,
        )  # fmt: skip
        return _answer(logged_get(actor=actor, key=logged.key))


class RunApi(MlflowApi):
    """One run with the newest of what was logged."""

    def get(self, request: Request) -> Response:
        return _answer(run_of(request, query(ByRun, request)))


class RunUpdateApi(MlflowApi):
    """A run ends, goes on, or gets another name."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Change, request)
        logged = run_of(request, given)
        if given.run_name:
            run_rename(actor=actor, run_id=logged.pk, name=given.run_name)
        if given.status == "RUNNING":
            logged_run_resume(actor=actor, logged=logged)
        elif given.status:
            state = ENDS.get(given.status)
            if state is None:
                raise FieldError("status", one_of(["RUNNING", *ENDS]))
            ended = now_ms() if given.end_time is None else given.end_time
            logged_run_end(actor=actor, logged=logged, state=state, ended_ms=ended)
        return Response({"run_info": info_json(run_of(request, given))})


class RunDeleteApi(MlflowApi):
    """Runs are records: they are not deleted, and so there is nothing to restore."""

    def post(self, request: Request) -> Response:
        run_of(request, body(ByRun, request))
        said = _("Runs are kept as records and cannot be deleted. Tag those that do not count.")
        raise Unsupported(said)


class RunSearchApi(MlflowApi):
    """Runs of some experiments that match a filter."""

    only_reads = True

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Search, request)
        experiments = experiments_numbered(actor, given.experiment_ids)
        if given.run_view_type == "DELETED_ONLY" or not experiments:
            return Response({"runs": []})
        found = run_search(
            actor=actor,
            text=run_tree(actor, given.filter),
            order=run_order(given.order_by),
            cursor=given.page_token,
            limit=min(given.max_results, PAGE),
            experiments=experiments,
        )
        views = logged_views(logged_in_order(found.ids))
        answer: dict[str, Any] = {"runs": [run_json(view) for view in views]}
        if found.next:
            answer["next_page_token"] = found.next
        return Response(answer)


def now_ms() -> int:
    """Now, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _answer(logged: LoggedRun) -> Response:
    return Response({"run": run_json(logged_views([logged])[0])})
