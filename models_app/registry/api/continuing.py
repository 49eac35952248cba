"""A training that goes on from a checkpoint of another run."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.core.responses import accepted
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.jobs.checkpoint_api import CheckpointApi
from models_app.registry.api.versions import ModelVersionOutput
from models_app.registry.services import training_continue


class ContinueInput(BaseModel):
    """What may differ from the run that wrote the checkpoint."""

    model_config = ConfigDict(extra="forbid")
    changes: dict[str, Any] = Field(
        default_factory=dict,
        description="steps, evaluate_every, evaluation_batches, checkpoint_every, "
        "keep_checkpoints, log_every, patience, min_improvement, publish, on_divergence, "
        "spike_factor, divergence_budget, activation_checkpointing, checkpoint_in_background. "
        "With other steps the schedule stays that of the first run.",
    )
    reason: str = Field("", description="Why; one line")


class CheckpointContinueApi(CheckpointApi):
    """Train on from this checkpoint: a new version that begins in exactly this state."""

    @extend_schema(
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=request_schema(ContinueInput),
        responses={202: ModelVersionOutput},
    )
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        checkpoint = self.checkpoint(pk)
        given = parse(ContinueInput, request.data or {})
        version = training_continue(
            actor=actor,
            checkpoint=checkpoint,
            changes=given.changes,
            reason=given.reason,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return accepted(ModelVersionOutput(version).data)
