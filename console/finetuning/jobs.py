"""`/v1/fine_tuning/jobs`: trainings on our queue, asked for and watched by OpenAI's clients."""

from collections.abc import Callable
from typing import Any, Literal

from django.http import HttpRequest, HttpResponseBase
from pydantic import BaseModel, ConfigDict

from console.finetuning.entry import answered, body_of
from console.finetuning.errors import missing, wrong
from console.finetuning.events import events_of, number_of
from console.finetuning.files import file_named
from console.finetuning.pages import limit_of, listed, page
from console.finetuning.shapes import checkpoint_shape, tuning_shape
from console.gateway.errors import GatewayError
from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.core.permission import require
from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.selectors import base_named, tuning_get, tuning_job, tuning_list
from models_app.finetuning.services import (
    tuning_cancel,
    tuning_pause,
    tuning_resume,
    tuning_start,
)
from models_app.finetuning.settings import Hyperparameters

Change = Callable[..., Tuning]


class Supervised(BaseModel):
    """Settings of the only method that there is."""

    model_config = ConfigDict(extra="forbid")
    hyperparameters: Hyperparameters = Hyperparameters()


class Method(BaseModel):
    """OpenAI's `method`."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class Asked(BaseModel):
    """What a client may say of a new fine-tuning."""

    model_config = ConfigDict(extra="forbid")
    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    suffix: str | None = None
    seed: int | None = None
    metadata: dict[str, str] | None = None
    integrations: list[Any] | None = None


def list_jobs(request: HttpRequest) -> HttpResponseBase:
    """Newest first; `metadata[name]=value` narrows them."""
    actor: Any = request.user
    require(actor, "registry.view_model")
    pairs = {
        name[9:-1]: str(value)
        for name, value in request.GET.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    return answered(page(request, tuning_list(actor=actor, metadata=pairs), tuning_shape))


def create_job(request: HttpRequest) -> HttpResponseBase:
    """It trains as soon as its file is imported."""
    actor: Any = request.user
    asked = body_of(request, Asked)
    if asked.integrations:
        raise wrong("integrations", "There are no integrations; leave this out.")
    if asked.method is not None and asked.hyperparameters is not None:
        raise wrong("hyperparameters", "Give them in 'method', or here, not both.")
    numbers = asked.method.supervised.hyperparameters if asked.method else asked.hyperparameters
    if asked.seed is not None and not 0 <= asked.seed < 1 << 63:
        raise wrong("seed", "Use a whole number from 0 on.")
    tuning = tuning_start(
        actor=actor,
        base=base_named(actor=actor, name=asked.model),
        training_file=_file(request, asked.training_file, "training_file"),
        validation_file=_file(request, asked.validation_file, "validation_file")
        if asked.validation_file
        else None,
        hyperparameters=numbers,
        suffix=asked.suffix or "",
        seed=asked.seed,
        metadata=asked.metadata,
    )
    return answered(tuning_shape(_named(actor, tuning.key)))


def one_job(request: HttpRequest, key: str) -> HttpResponseBase:
    """How far it has come."""
    actor: Any = request.user
    return answered(tuning_shape(_named(actor, key)))


def changing(change: Change) -> Callable[..., HttpResponseBase]:
    """The view that pauses, resumes or cancels."""

    def view(request: HttpRequest, key: str) -> HttpResponseBase:
        actor: Any = request.user
        return answered(tuning_shape(change(actor=actor, tuning=_named(actor, key))))

    return view


cancel_job, pause_job, resume_job = (
    changing(change) for change in (tuning_cancel, tuning_pause, tuning_resume)
)


def list_events(request: HttpRequest, key: str) -> HttpResponseBase:
    """Newest first; `after` is the name of the last event seen."""
    actor: Any = request.user
    row = _named(actor, key)
    limit, before = limit_of(request, 1000, 20), None
    if after := request.GET.get("after", ""):
        before = number_of(row, after)
        if before is None:
            raise missing("event", after)
    events, more = events_of(row, before=before, limit=limit)
    return answered(listed(events, more=more))


def list_checkpoints(request: HttpRequest, key: str) -> HttpResponseBase:
    """Those that are kept, newest first."""
    actor: Any = request.user
    row = _named(actor, key)
    limit, job = limit_of(request, 100, 10), tuning_job(row)
    found = list(job.checkpoints.order_by("-step", "-pk")) if job else []
    shapes = [checkpoint_shape(row, one) for one in found]
    if after := request.GET.get("after", ""):
        places = [place for place, one in enumerate(shapes, 1) if one["id"] == after]
        if not places:
            raise missing("checkpoint", after)
        shapes = shapes[places[0] :]
    return answered(listed(shapes[:limit], more=len(shapes) > limit))


def _file(request: HttpRequest, key: str, param: str) -> TuningFile:
    try:
        return file_named(request, key)
    except GatewayError as error:
        raise GatewayError(400, "file_not_found", error.message, param=param) from None


def _named(actor: Actor, key: str) -> Tuning:
    require(actor, "registry.view_model")
    try:
        return tuning_get(actor=actor, key=key)
    except NotFound:
        raise missing("fine-tuning job", key) from None
