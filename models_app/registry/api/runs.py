"""Training runs: searched, read, exported; and those begun, reported and ended from elsewhere."""

import csv
import datetime as dt
import io
import math
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.clock import stamp
from models_app.core.errors import FieldError, InvalidInput, NotFound
from models_app.core.responses import created
from models_app.core.schema import object_schema, request_schema
from models_app.core.serializing import row_url
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.datasets.selectors import version_get as dataset_version_get
from models_app.jobs.models import LONGEST_METRIC
from models_app.registry import selectors
from models_app.registry.models import TrainingRun
from models_app.registry.run_selectors import RunView, run_get, run_job, run_views, runs_load
from models_app.registry.search.query import run_search, run_search_all
from models_app.registry.services import run_begin, run_end, run_log_metrics, run_log_params

#: Rows of one export.
MOST_ROWS = 20_000


class RunQuery(BaseModel):
    """Which runs, in which order."""

    model_config = ConfigDict(extra="ignore")
    filter: str = ""
    order: str = ""
    cursor: str = ""
    page_size: int = Field(50, ge=1, le=200)


class RunInput(BaseModel):
    """A run whose work is done elsewhere."""

    model_config = ConfigDict(extra="forbid")
    team: str = Field(description="Name of the team")
    name: str
    model: str | int | None = Field(None, description="Name or id of a model of the team")
    dataset_version: int | None = None
    params: dict[str, Any] = Field({}, description="What it was given; nested names get dots")
    tags: dict[str, str] = {}


class ParamsInput(BaseModel):
    """Parameters to add; they do not change afterwards."""

    model_config = ConfigDict(extra="forbid")
    params: dict[str, Any]


class RunEndInput(BaseModel):
    """How it ended."""

    model_config = ConfigDict(extra="forbid")
    state: str = Field(description="succeeded, failed or canceled")
    reason: str = Field("", description="Why, where it did not go well", max_length=2000)


RUN_SCHEMA: dict[str, Any] = {
    "id": "integer", "url": "string", "name": "string", "team": "string", "kind": "string",
    "state": "string", "author": "string", "model": "string", "version": "integer",
    "model_version": "integer", "dataset": "string", "dataset_version": "integer",
    "params": "object", "metrics": "object", "tags": "object", "created_at": "string",
    "finished_at": "string",
}  # fmt: skip
RUN = object_schema("A training run", **RUN_SCHEMA)
LIST = object_schema(
    "A page of runs",
    next="string",
    previous="string",
    results={"type": "array", "items": {"type": "object"}},
)
POINTS = {
    "application/json": {
        "type": "object",
        "required": ["points"],
        "properties": {
            "points": {
                "type": "array",
                "maxItems": 1000,
                "items": {
                    "type": "object",
                    "required": ["name", "step", "value"],
                    "properties": {
                        "name": {"type": "string", "maxLength": LONGEST_METRIC},
                        "step": {"type": "integer", "minimum": 0},
                        "value": {"type": "number"},
                        "at": {"type": "string", "format": "date-time"},
                    },
                },
            }
        },
    }
}
SEARCHED = [
    OpenApiParameter("filter", str, description="See the reference of the filter language"),
    OpenApiParameter("order", str, description="-created, metrics.loss, -params.learning_rate, …"),
]


def run_json(view: RunView) -> dict[str, Any]:
    """A run for programs."""
    run, version, data = view.run, view.version, view.run.dataset_version
    return {
        "id": run.pk,
        "url": row_url("api_training_run", run.pk),
        "name": run.name,
        "team": run.team.slug,
        "kind": run.job.kind,
        "state": run.job.state,
        "author": run.created_by.email if run.created_by else None,
        "model": run.model.name if run.model else None,
        "version": version.number if version else None,
        "model_version": version.pk if version else None,
        "dataset": data.dataset.name if data else None,
        "dataset_version": data.pk if data else None,
        "params": view.params,
        "metrics": view.metrics,
        "tags": view.tags,
        "created_at": stamp(run.created_at),
        "finished_at": stamp(run.job.finished_at) if run.job.finished_at else None,
    }


def runs_answer(request: Request) -> Response:
    """The page of runs that a request asks for."""
    actor: Any = request.user
    query = parse(RunQuery, request.query_params.dict())
    found = run_search(
        actor=actor, text=query.filter, order=query.order, cursor=query.cursor,
        limit=query.page_size,
    )  # fmt: skip
    following = None
    if found.next:
        given = request.query_params.copy()
        given["cursor"] = found.next
        following = request.build_absolute_uri(f"{request.path}?{given.urlencode()}")
    rows = [run_json(view) for view in runs_load(found.ids)]
    return Response({"next": following, "previous": None, "results": rows})


class RunExternalApi(APIView):
    """Begin a run whose work is done elsewhere. Answers the same for a repeated key."""

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(RunInput),
        responses={201: RUN[200]},
    )
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(RunInput, request.data)
        team = team_named(actor, given.team)
        run = run_begin(
            actor=actor,
            team=team,
            name=given.name,
            model=_model(actor, team, given.model),
            dataset_version=_data(actor, given.dataset_version),
            params=given.params,
            tags=given.tags,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return created(run_json(run_views([run])[0]))


class RunDetailApi(APIView):
    """One run."""

    @extend_schema(responses=RUN)
    def get(self, request: Request, pk: int) -> Response:
        return Response(run_json(run_views([_run(request, pk)])[0]))


class RunMetricsApi(APIView):
    """Report up to 1,000 points of a run whose work is done elsewhere. A step twice: replaced."""

    @extend_schema(request=POINTS, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        points = _points(request.data)
        run_log_metrics(actor=actor, job=run_job(actor=actor, run_id=pk), points=points)
        return Response(status=204)


class RunParamsApi(APIView):
    """Add parameters to a run whose work is done elsewhere."""

    @extend_schema(request=request_schema(ParamsInput), responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(ParamsInput, request.data)
        run_log_params(actor=actor, run=_run(request, pk), params=given.params)
        return Response(status=204)


class RunEndApi(APIView):
    """Say how a run whose work is done elsewhere has ended."""

    @extend_schema(request=request_schema(RunEndInput), responses=RUN)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        given = parse(RunEndInput, request.data)
        run = run_end(actor=actor, run=_run(request, pk), state=given.state, reason=given.reason)
        return Response(run_json(run_views([run])[0]))


class RunExportApi(APIView):
    """What a filter finds as CSV: a line a run, a column for each parameter, metric and tag."""

    @extend_schema(parameters=SEARCHED, responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        actor: Any = request.user
        query = parse(RunQuery, request.query_params.dict())
        return runs_csv(actor, query.filter, query.order)


def runs_csv(actor: Any, text: str, order: str) -> StreamingHttpResponse:
    """A download of everything that matches, at most MOST_ROWS; FieldError before it begins."""
    pages = run_search_all(actor=actor, text=text, order=order, most=MOST_ROWS)
    views = [view for ids in pages for view in runs_load(ids)]
    response = StreamingHttpResponse(csv_lines(views), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="runs.csv"'
    return response


FIXED = ("id", "name", "team", "kind", "state", "author", "model", "version", "dataset",
         "created_at", "finished_at")  # fmt: skip


def csv_lines(views: list[RunView]) -> Iterator[str]:
    """Lines of a CSV. A text that a spreadsheet would take for a formula gets a quote in front."""
    names: dict[str, dict[str, None]] = {"params": {}, "metrics": {}, "tags": {}}
    for view in views:
        for group, found in names.items():
            found.update(dict.fromkeys(getattr(view, group)))
    columns = [(group, name) for group, found in names.items() for name in sorted(found)]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*FIXED, *(f"{group}.{name}" for group, name in columns)])
    for view in views:
        row = run_json(view)
        values = [*(row[name] for name in FIXED), *(row[group].get(n) for group, n in columns)]
        writer.writerow([_cell(value) for value in values])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    text = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t")
    return f"'{value}" if text else value


def _points(body: Any) -> list[tuple[str, int, float, dt.datetime | None]]:
    """The points of a report. By hand, as this is the call that programs make most often."""
    if (
        not isinstance(body, dict)
        or set(body) != {"points"}
        or not isinstance(body["points"], list)
    ):
        raise FieldError("points", _("Send an object with a list of points."))
    errors: dict[str, str | list[str]] = {}
    found = []
    for index, point in enumerate(body["points"]):
        try:
            found.append(_point(point))
        except ValueError as error:
            errors[f"points.{index}"] = str(error)
            if len(errors) == 20:
                break
    if errors:
        raise InvalidInput(errors)
    return found


def _point(point: Any) -> tuple[str, int, float, dt.datetime | None]:
    if not isinstance(point, dict) or not point.keys() <= {"name", "step", "value", "at"}:
        raise ValueError(_("Send name, step, value and perhaps at, and nothing else."))
    name, step = point.get("name"), point.get("step")
    value: Any = point.get("value")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_METRIC:
        raise ValueError(_("The name needs 1 to %(n)s characters.") % {"n": LONGEST_METRIC})
    if type(step) is not int or not 0 <= step < 1 << 62:
        raise ValueError(_("The step is a whole number from 0."))
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(_("The value is a number."))
    at = point.get("at")
    if at is None:
        return name, step, float(value), None
    try:
        moment = dt.datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise ValueError(_("The time is one such as 2026-11-01T09:30:00Z.")) from None
    return name, step, float(value), moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _run(request: Request, pk: int) -> TrainingRun:
    actor: Any = request.user
    return run_get(actor=actor, run_id=pk)


def _model(actor: Any, team: Any, key: str | int | None) -> Any:
    if key is None:
        return None
    try:
        if isinstance(key, int):
            return selectors.model_get(actor=actor, model_id=key)
        return selectors.model_named(actor=actor, team=team.slug, name=key)
    except NotFound as error:
        raise FieldError("model", error.message) from None


def _data(actor: Any, key: int | None) -> Any:
    if key is None:
        return None
    try:
        return dataset_version_get(actor=actor, version_id=key)
    except NotFound as error:
        raise FieldError("dataset_version", error.message) from None
