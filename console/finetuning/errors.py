"""Errors as OpenAI's clients read them: our own words, in their object."""

from collections.abc import Mapping
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse

from console.gateway import errors
from console.gateway.errors import GatewayError
from models_app.core.errors import FieldError, InvalidInput, SlipwayError

AWAY = (OperationalError, InterfaceError)
_KINDS = {401: "authentication_error", 403: "permission_error"}


def refused(error: GatewayError) -> HttpResponse:
    """The answer that says so."""
    response = HttpResponse(error.body(), status=error.status, content_type="application/json")
    for name, value in error.headers():
        response[name.decode()] = value.decode()
    return response


def translated(error: Exception) -> GatewayError:
    """One of ours as one of theirs; fields that are not valid are 400, as OpenAI's are."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, AWAY):
        return errors.unavailable()
    if not isinstance(error, SlipwayError):
        return errors.internal()
    if isinstance(error, InvalidInput):
        field, texts = next(iter(error.errors.items()))
        code = error.code if isinstance(error, FieldError) else "invalid_value"
        code = "invalid_value" if code == InvalidInput.code else code
        status = 404 if code == "model_not_found" else 400
        return GatewayError(status, code, texts[0], param=field)
    kind = _KINDS.get(error.status, "invalid_request_error")
    # A conflict is no reason to send the request again, and a wrong state is theirs to read.
    status = 400 if error.status == 409 else error.status
    return GatewayError(status, error.code, error.message, kind=kind)


def missing(what: str, key: str) -> GatewayError:
    """Said of what is not there and of what is not yours."""
    return GatewayError(404, "not_found", f"No such {what}: '{key[:80]}'.")


def wrong(param: str, message: str) -> GatewayError:
    """A parameter that cannot be taken."""
    return GatewayError(400, "invalid_value", message, param=param)


def first_problem(problems: list[Mapping[str, Any]]) -> GatewayError:
    """The first of pydantic's problems, by its path."""
    problem = problems[0]
    param = ".".join(str(part) for part in problem["loc"] if not str(part)[:1].isupper())
    text = str(problem["msg"])
    if problem["type"] == "extra_forbidden":
        return GatewayError(400, "unknown_parameter", f"Unknown parameter: '{param}'.", param=param)
    if problem["type"] == "missing":
        text = f"Missing required parameter: '{param}'."
        return GatewayError(400, "missing_required_parameter", text, param=param)
    return wrong(param, f"{text}.")
