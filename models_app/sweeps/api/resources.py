"""Sweeps: list, begin, look at, pause, resume, stop."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.core.pagination import Page
from models_app.core.responses import created
from models_app.core.schema import request_schema
from models_app.core.teams import team_named
from models_app.core.validation import parse
from models_app.registry.api.training import model_asked, training_parts
from models_app.sweeps.api.inputs import SweepInput
from models_app.sweeps.api.outputs import SweepOutput, TrialOutput
from models_app.sweeps.models import Sweep, Trial
from models_app.sweeps.selectors import bests, sweep_get, sweep_list, trial_list
from models_app.sweeps.services import sweep_pause, sweep_resume, sweep_start, sweep_stop
from models_app.sweeps.states import SweepState, TrialState

#: Fields of the request that the service takes as they are.
PLAIN = (
    "space", "strategy", "metric", "max_trials", "parallel", "seed", "note", "priority", "pool",
    "resources",
)  # fmt: skip


class SweepListApi(ListAPIView[Sweep]):
    """Sweeps of your teams, newest first; POST begins one."""

    serializer_class = SweepOutput
    pagination_class = Page
    queryset = Sweep.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        team, state = (self.request.query_params.get(name, "") for name in ("team", "state"))
        if state and state not in SweepState.values:
            raise FieldError("state", one_of(SweepState.values))
        return sweep_list(actor=actor, team=team, state=state)

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=SweepState.values),
            OpenApiParameter("team", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(SweepInput),
        responses={201: SweepOutput},
    )
    def post(self, request: Request) -> Response:
        """Begin a sweep. Answers the same for a repeated key."""
        actor: Any = request.user
        given = parse(SweepInput, request.data)
        model = model_asked(actor, team_named(actor, given.team), given.model)
        sweep = sweep_start(
            **training_parts(actor, given, model.family),
            model=model,
            halving=given.early_stopping.asked() if given.early_stopping else None,
            **{name: getattr(given, name) for name in PLAIN},
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return created(_output(actor, sweep.pk))


class SweepDetailApi(APIView):
    """One sweep, with its best trial."""

    @extend_schema(responses=SweepOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(_output(request.user, pk))


class TrialListApi(ListAPIView[Trial]):
    """The trials of a sweep, newest first."""

    serializer_class = TrialOutput
    pagination_class = Page
    queryset = Trial.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        state = self.request.query_params.get("state", "")
        if state and state not in TrialState.values:
            raise FieldError("state", one_of(TrialState.values))
        return trial_list(sweep=sweep_get(actor=actor, sweep_id=self.kwargs["pk"]), state=state)

    @extend_schema(parameters=[OpenApiParameter("state", str, enum=TrialState.values)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class _ActionApi(APIView):
    service: Callable[..., Sweep]

    @extend_schema(request=None, responses=SweepOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        type(self).service(actor=actor, sweep=sweep_get(actor=actor, sweep_id=pk))
        return Response(_output(actor, pk))


class SweepPauseApi(_ActionApi):
    """Start no more trials until it is resumed; what runs goes on."""

    service = sweep_pause


class SweepResumeApi(_ActionApi):
    """Start trials again."""

    service = sweep_resume


class SweepStopApi(_ActionApi):
    """Cancel what runs and start nothing more."""

    service = sweep_stop


def _output(actor: Any, pk: int) -> Any:
    sweep = sweep_get(actor=actor, sweep_id=pk)
    return SweepOutput(sweep, context={"bests": bests([sweep])}).data
