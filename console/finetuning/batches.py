"""`/v1/batches`: many requests answered by a job, asked for by OpenAI's clients."""

import datetime as dt
from typing import Any, Literal

from django.http import HttpRequest, HttpResponseBase
from pydantic import BaseModel, ConfigDict

from console.finetuning.entry import answered, body_of
from console.finetuning.errors import missing
from console.finetuning.files import file_named
from console.finetuning.pages import page
from console.gateway.errors import GatewayError
from models_app.batches.models import Batch
from models_app.batches.selectors import batch_counts, batch_get, batch_list, batch_status
from models_app.batches.services import batch_cancel, batch_start
from models_app.core.errors import Conflict, NotFound
from models_app.core.permission import require
from models_app.jobs.idempotency import KEY


class Asked(BaseModel):
    """What a client may say of a new batch."""

    model_config = ConfigDict(extra="forbid")
    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: dict[str, str] | None = None
    output_expires_after: dict[str, Any] | None = None


def list_batches(request: HttpRequest) -> HttpResponseBase:
    """Newest first."""
    actor: Any = request.user
    require(actor, "jobs.view_job")
    return answered(page(request, batch_list(actor=actor), batch_shape))


def create_batch(request: HttpRequest) -> HttpResponseBase:
    """It begins at once; a file with errors makes one that has failed. A repeated key
    (Idempotency-Key) gives the batch that it made.
    """
    actor: Any = request.user
    asked = body_of(request, Asked)
    try:
        file = file_named(request, asked.input_file_id)
    except GatewayError as error:
        error.param = "input_file_id"
        raise
    try:
        batch = batch_start(
            actor=actor, input_file=file, endpoint=asked.endpoint, metadata=asked.metadata,
            idempotency_key=request.headers.get(KEY),
        )  # fmt: skip
    except Conflict as error:
        raise GatewayError(409, "idempotency_key_reused", error.message, param=KEY) from None
    return answered(batch_shape(batch))


def one_batch(request: HttpRequest, key: str) -> HttpResponseBase:
    """How far it is."""
    return answered(batch_shape(_named(request, key)))


def cancel_batch(request: HttpRequest, key: str) -> HttpResponseBase:
    """What is answered by then becomes its output."""
    actor: Any = request.user
    batch_cancel(actor=actor, batch=_named(request, key))
    return answered(batch_shape(_named(request, key)))


def _named(request: HttpRequest, key: str) -> Batch:
    actor: Any = request.user
    require(actor, "jobs.view_job")
    try:
        return batch_get(actor=actor, key=key)
    except NotFound:
        raise missing("batch", key) from None


def batch_shape(row: Batch) -> dict[str, Any]:
    """`Batch`."""
    status, job = batch_status(row), row.job
    ended = _at(job.finished_at) if job else _at(row.created_at)
    done = {"completed": None, "failed": None, "expired": None, "cancelled": None}
    if status in done:
        done[status] = ended  # type: ignore[assignment]
    canceling = _at(job.cancel_requested_at) if job else None
    return {
        "id": row.key,
        "object": "batch",
        "endpoint": row.endpoint,
        "model": row.model or None,
        "errors": {"object": "list", "data": row.errors} if row.errors else _errors(row, status),
        "input_file_id": row.input_file.key if row.input_file else None,
        "completion_window": "24h",
        "status": status,
        "output_file_id": row.output_file.key if row.output_file else None,
        "error_file_id": row.error_file.key if row.error_file else None,
        "created_at": _at(row.created_at),
        "in_progress_at": _at(job.started_at) if job else None,
        "expires_at": _at(row.expires_at),
        "finalizing_at": ended if status == "completed" else None,
        **{f"{name}_at": value for name, value in done.items()},
        "cancelling_at": canceling,
        "request_counts": batch_counts(row),
        "usage": _usage(row) if row.collected_at else None,
        "metadata": row.metadata or None,
    }


def _errors(row: Batch, status: str) -> dict[str, Any] | None:
    if status != "failed" or row.job is None:
        return None
    error = {"code": row.job.reason_code or "failed", "message": row.job.reason}
    return {"object": "list", "data": [{**error, "line": None, "param": None}]}


def _usage(row: Batch) -> dict[str, Any]:
    return {
        "input_tokens": row.prompt_tokens,
        "output_tokens": row.completion_tokens,
        "total_tokens": row.prompt_tokens + row.completion_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _at(when: dt.datetime | None) -> int | None:
    return int(when.timestamp()) if when else None
