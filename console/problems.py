"""Errors of the API as RFC 9457 problem JSON: what is wrong, in which field, the request's id."""

from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from models_app.core.context import current
from models_app.core.errors import InvalidInput, SlipwayError

CONTENT_TYPE = "application/problem+json"


def problem(
    *, status: int, code: str, title: str, detail: str = "", errors: Any = None, **extra: Any
) -> dict[str, Any]:
    """The body: `type`, `title`, `status`, `detail`, `code`, `errors` (field -> messages)."""
    body: dict[str, Any] = {
        "type": f"urn:slipway:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
        "request_id": current.get().request_id,
    }
    if errors:
        body["errors"] = errors
    return {**body, **extra}


def problem_of(error: SlipwayError) -> dict[str, Any]:
    """The problem body of one of our own errors."""
    errors = error.errors if isinstance(error, InvalidInput) else None
    plain = (str, int, float, bool, list, dict)
    extra = {k: v for k, v in error.extra.items() if isinstance(v, plain)}
    return problem(
        status=error.status,
        code=error.code,
        title=str(error.title),
        detail=error.message,
        errors=errors,
        **{k: v for k, v in extra.items() if k not in {"status", "code", "title", "detail"}},
    )


def problem_response(error: SlipwayError) -> HttpResponse:
    """The same for plain Django views."""
    return JsonResponse(problem_of(error), status=error.status, content_type=CONTENT_TYPE)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. What is not anticipated stays unhandled and becomes a logged 500."""
    body = _translate(error)
    if body is None:
        return None
    headers = {}
    if isinstance(error, exceptions.APIException):
        if scheme := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = scheme
        if seconds := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(seconds))
    if body["status"] == 503:
        headers["Retry-After"] = "5"
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def _translate(error: Exception) -> dict[str, Any] | None:
    if isinstance(error, SlipwayError):
        return problem_of(error)
    if isinstance(error, exceptions.ValidationError):
        errors = _fields(error.detail)
        first = next(iter(errors.items()))
        return problem(
            status=422,
            code="invalid_input",
            title=_("Some fields are not valid"),
            detail=f"{first[0]}: {first[1][0]}",
            errors=errors,
        )
    if isinstance(error, exceptions.APIException):
        title = str(error.default_detail)
        return problem(
            status=error.status_code,
            code=str(error.default_code),
            # Some are a sentence with a place for the method or the media type.
            title=str(error.detail) if "{" in title else title,
            detail=str(error.detail),
        )
    if isinstance(error, OperationalError | InterfaceError):
        return problem(
            status=503,
            code="database_away",
            title=_("The database does not answer at the moment"),
            detail=_("Nothing of this request was stored. Try again in a few seconds."),
        )
    if isinstance(error, Http404):
        return problem(status=404, code="not_found", title=_("Not found"))
    if isinstance(error, DjangoPermissionDenied):
        return problem(status=403, code="permission_denied", title=_("Not allowed"))
    if isinstance(error, RequestDataTooBig):
        return problem(status=413, code="too_large", title=_("The request is too large"))
    if isinstance(error, DataError | RecursionError | OverflowError | BadRequest | UnicodeError):
        return problem(
            status=400,
            code="malformed",
            title=_("The request cannot be read"),
            detail=_(
                "A value cannot be stored: look for NUL characters, lone surrogates, "
                "huge numbers or very deep nesting."
            ),
        )
    return None


def _fields(detail: Any, path: str = "") -> dict[str, list[str]]:
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for key, value in detail.items():
            found.update(_fields(value, f"{path}.{key}" if path else str(key)))
        return found
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        found = {}
        for index, item in enumerate(detail):
            found.update(_fields(item, f"{path}.{index}" if path else str(index)))
        return found
    items = detail if isinstance(detail, list) else [detail]
    return {path or "body": [str(item) for item in items]}
