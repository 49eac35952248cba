"""What programs log: metrics, parameters, tags, data. Limits are MLflow's own (3.17.2)."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, body
from console.mlflow.runs import LATEST_MS, LONGEST_KEY, MOST_TAGS, ByRun, Tag, now_ms
from console.mlflow.shapes import NAME_TAG
from models_app.core.errors import FieldError
from models_app.jobs.models import LONGEST_METRIC
from models_app.registry.experiment_selectors import Point, logged_alone
from models_app.registry.services import logged_run_read, logged_run_write, run_rename

LONGEST_PARAM = 6000
MOST_METRICS, MOST_PARAMS, MOST_TOGETHER = 1000, 100, 1000
#: Of one dataset's description. MLflow's own limits for schema and profile are 16 and 255 times as
#: large; such text is better left with the run as a file.
LONGEST_DESCRIPTION = 65_535
MOST_DATASETS = 100


class Metric(Asked):
    """One value; it may be no number, or infinite."""

    key: str = Field(min_length=1, max_length=LONGEST_METRIC)
    value: float
    timestamp: int | None = Field(None, ge=0, le=LATEST_MS)
    step: int = Field(0, ge=0, lt=1 << 62)

    def point(self) -> Point:
        """As it is stored."""
        ms = now_ms() if self.timestamp is None else self.timestamp
        at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms)
        return self.key, self.step, self.value, at


class Param(Asked):
    """A parameter: a text, whatever it was."""

    key: str = Field(min_length=1, max_length=LONGEST_KEY)
    value: str = Field("", max_length=LONGEST_PARAM)


class OneMetric(ByRun, Metric):
    """One value of a run."""


class OneParam(ByRun, Param):
    """One parameter of a run."""


class OneTag(ByRun, Tag):
    """One tag of a run."""


class NoTag(ByRun):
    """A tag that goes."""

    key: str = Field(min_length=1, max_length=LONGEST_KEY)


class Batch(ByRun):
    """Several of each, all or none."""

    metrics: list[Metric] = Field([], max_length=MOST_METRICS)
    params: list[Param] = Field([], max_length=MOST_PARAMS)
    tags: list[Tag] = Field([], max_length=MOST_TAGS)


class Dataset(Asked):
    """Data as a program describes it."""

    name: str = Field(min_length=1, max_length=500)
    digest: str = Field(min_length=1, max_length=64)
    source_type: str = Field("", max_length=200)
    source: str = Field("", max_length=LONGEST_DESCRIPTION)
    schema_: str | None = Field(None, alias="schema", max_length=LONGEST_DESCRIPTION)
    profile: str | None = Field(None, max_length=LONGEST_DESCRIPTION)


class InputTag(Asked):
    """How data was used: `mlflow.data.context` is `train`, say."""

    key: str = Field(min_length=1, max_length=255)
    value: str = Field("", max_length=500)


class Input(Asked):
    """Data that a run reads."""

    dataset: Dataset
    tags: list[InputTag] = Field([], max_length=MOST_TAGS)


class Inputs(ByRun):
    """Data that a run reads. Models that it reads are not noted."""

    datasets: list[Input] = Field([], max_length=MOST_DATASETS)


class BatchApi(MlflowApi):
    """Metrics, parameters and tags at once."""

    def post(self, request: Request) -> Response:
        given = body(Batch, request)
        if len(given.metrics) + len(given.params) + len(given.tags) > MOST_TOGETHER:
            said = _("At most %(most)s metrics, parameters and tags together.")
            raise FieldError("metrics", said % {"most": MOST_TOGETHER})
        params: dict[str, str] = {}
        for param in given.params:
            if params.setdefault(param.key, param.value) != param.value:
                said = _("The parameter %(name)s is there twice, with two values.")
                raise FieldError("params", said % {"name": param.key})
        return _write(
            request, given, params=params,
            points=[metric.point() for metric in given.metrics],
            tags={tag.key: tag.value for tag in given.tags},
        )  # fmt: skip


class MetricApi(MlflowApi):
    """One value of a metric."""

    def post(self, request: Request) -> Response:
        given = body(OneMetric, request)
        return _write(request, given, points=[given.point()])


class ParamApi(MlflowApi):
    """One parameter."""

    def post(self, request: Request) -> Response:
        given = body(OneParam, request)
        return _write(request, given, params={given.key: given.value})


class TagApi(MlflowApi):
    """One tag."""

    def post(self, request: Request) -> Response:
        given = body(OneTag, request)
        return _write(request, given, tags={given.key: given.value})


class TagDeleteApi(MlflowApi):
    """A tag goes."""

    def post(self, request: Request) -> Response:
        given = body(NoTag, request)
        if given.key == NAME_TAG:
            raise FieldError("key", _("A run always has a name."))
        return _write(request, given, tags={given.key: None})


class InputsApi(MlflowApi):
    """Data that a run reads."""

    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = body(Inputs, request)
        logged = logged_alone(actor=actor, key=given.run)
        inputs = [one.model_dump(by_alias=True, exclude_none=True) for one in given.datasets]
        logged_run_read(actor=actor, logged=logged, inputs=inputs)
        return Response({})


def _write(
    request: Request,
    given: ByRun,
    *,
    points: list[Point] | None = None,
    params: dict[str, str] | None = None,
    tags: Mapping[str, str | None] | None = None,
) -> Response:
    actor: Any = request.user
    logged = logged_alone(actor=actor, key=given.run)
    texts: dict[str, str | None] = {**(tags or {})}
    name = texts.pop(NAME_TAG, None)
    logged_run_write(actor=actor, logged=logged, points=points or [], params=params, tags=texts)
    if name:
        run_rename(actor=actor, run_id=logged.pk, name=name)
    return Response({})
