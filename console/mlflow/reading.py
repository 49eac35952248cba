"""Values of metrics by step, and what clients ask about the server."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from console.mlflow.base import Asked, MlflowApi, query
from console.mlflow.problems import NoEndpoint
from console.mlflow.runs import ByRun
from console.mlflow.shapes import point_json
from models_app.core.errors import FieldError
from models_app.registry.experiment_selectors import logged_alone, metric_history

#: Values of one answer, where a client asks for pages; of several runs, of each.
MOST_POINTS, MOST_RUNS = 25_000, 100


class History(ByRun):
    """Which metric. Without `max_results` all of it comes at once, as from MLflow's own server."""

    metric_key: str
    max_results: int | None = Field(None, ge=1, le=MOST_POINTS)
    page_token: str = ""


class Interval(Asked):
    """Which metric of which runs, between which steps."""

    metric_key: str
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = Field(2500, ge=1, le=2500)


class MetricHistoryApi(MlflowApi):
    """Every value of one metric of a run, by time; of a page as many as were asked for."""

    def get(self, request: Request) -> Response:
        actor: Any = request.user
        given = query(History, request)
        logged = logged_alone(actor=actor, key=given.run)
        start, most = _start(given.page_token), given.max_results
        points = metric_history(
            run_id=logged.pk, name=given.metric_key, start=start,
            most=None if most is None else most + 1,
        )  # fmt: skip
        answer: dict[str, Any] = {"metrics": [point_json(point) for point in points[:most]]}
        if most is not None and len(points) > most:
            answer["next_page_token"] = str(start + most)
        return Response(answer)


class BulkIntervalApi(MlflowApi):
    """Values of one metric of several runs, thinned out evenly; the first and the last stay."""

    def get(self, request: Request) -> Response:
        actor: Any = request.user
        given = query(Interval, request)
        keys = request.query_params.getlist("run_ids")
        if not 0 < len(keys) <= MOST_RUNS:
            raise FieldError("run_ids", _("Name 1 to %(most)s runs.") % {"most": MOST_RUNS})
        rows: list[dict[str, Any]] = []
        for key in dict.fromkeys(keys):
            logged = logged_alone(actor=actor, key=key[:64])
            points = metric_history(
                run_id=logged.pk, name=given.metric_key, first=given.start_step,
                last=given.end_step,
            )  # fmt: skip
            every = max(1, -(-len(points) // given.max_results))
            kept = [p for i, p in enumerate(points) if i % every == 0 or i == len(points) - 1]
            rows += [{**point_json(point), "run_id": logged.key} for point in kept]
        return Response({"metrics": rows})


class ServerApi(MlflowApi):
    """What this server can do beyond the least."""

    def get(self, request: Request) -> Response:
        return Response({
            "store_type": "RestStore", "workspaces_enabled": False,
            "trace_archival_enabled": False, "multipart_uploads_enabled": False,
            "multipart_downloads_enabled": False,
        })  # fmt: skip


class UnknownApi(MlflowApi):
    """Whatever else MLflow's own server has."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """As everywhere, and then no method is known."""
        super().initial(request, *args, **kwargs)
        said = _("This console does not speak this part of MLflow's API: %(path)s.")
        raise NoEndpoint(said % {"path": request.path[:200]})


def _start(token: str) -> int:
    """How many values earlier pages had."""
    if not token:
        return 0
    if not token.isdecimal() or len(token) > 12:
        raise FieldError("page_token", _("Take it from the earlier answer."))
    return int(token)
