"""Errors as MLflow's clients read them: `{"error_code", "message"}`.

Codes and their statuses: `mlflow/exceptions.py` and `mlflow/protos/databricks.proto` of 3.17.2.
Clients try 408, 429 and 5xx again, so what would fail again has another status.
"""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from console import problems
from models_app.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SlipwayError,
    WrongState,
)

INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
#: Sorts of our errors -> code and status. The first that fits counts.
OURS: tuple[tuple[type[SlipwayError], str, int], ...] = (
    (InvalidInput, INVALID, 400),
    (NotFound, MISSING, 404),
    (PermissionDenied, "PERMISSION_DENIED", 403),
    (WrongState, "INVALID_STATE", 409),
    (Conflict, "RESOURCE_CONFLICT", 409),
)
#: Where only the status is known.
BY_STATUS = {
    400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: MISSING,
    405: "ENDPOINT_NOT_FOUND", 413: "BAD_REQUEST", 415: "BAD_REQUEST", 422: INVALID,
    429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE",
}  # fmt: skip


class Exists(SlipwayError):
    """The name is taken."""

    status = 400
    code = "RESOURCE_ALREADY_EXISTS"


class Unsupported(SlipwayError):
    """A part of the protocol that is not spoken here; the message says what to do instead."""

    status = 501
    code = "NOT_IMPLEMENTED"


class NoEndpoint(SlipwayError):
    """No part of the protocol at all that we know."""

    status = 404
    code = "ENDPOINT_NOT_FOUND"


def refusal(code: str, message: str, status: int, headers: Any = None) -> Response:
    """The answer for an error."""
    return Response({"error_code": code, "message": message}, status=status, headers=headers)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. What is not anticipated stays unhandled and becomes a logged 500."""
    if isinstance(error, SlipwayError):
        return _ours(error)
    answer = problems.exception_handler(error, context)
    if answer is None:
        return None
    message = str(answer.data["detail"])
    if isinstance(error, exceptions.NotAuthenticated):
        message = _("Set MLFLOW_TRACKING_TOKEN to an API token of this console.")
    code = BY_STATUS.get(answer.status_code, "INTERNAL_ERROR")
    told = {name: answer[name] for name in ("WWW-Authenticate", "Retry-After") if name in answer}
    return refusal(code, message, answer.status_code, told)


def _ours(error: SlipwayError) -> Response:
    # A parameter with another value is no conflict for MLflow, but a wrong value.
    if isinstance(error, Conflict) and str(error.extra.get("field", "")).startswith("params."):
        return refusal(INVALID, error.message, 400)
    if isinstance(error, Exists | Unsupported | NoEndpoint):
        return refusal(error.code, error.message, error.status)
    for kind, code, status in OURS:
        if isinstance(error, kind):
            return refusal(code, error.message, status)
    return refusal(BY_STATUS.get(error.status, "INTERNAL_ERROR"), error.message, error.status)
