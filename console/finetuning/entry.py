"""Around each of these views: the key, the language of programs, and errors in OpenAI's form."""

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ValidationError

from console.access.tokens import token_find
from console.finetuning.errors import first_problem, refused, translated
from console.gateway import errors
from console.gateway.errors import GatewayError
from models_app.core.teams import team_named, teams_where

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponseBase]
M = TypeVar("M", bound=BaseModel)
BODY = 1 << 20
#: Who may be asked to say for which team a request is: OpenAI's own headers.
HEADERS = ("openai-project", "openai-organization")


def spoken(**views: View) -> View:
    """One address: a view for each method. `request.user` is the owner of the key."""

    @csrf_exempt  # the key stands in a header, no cookie is looked at
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with translation.override("en"):
            try:
                request.user = _user(request)
                view = views.get(str(request.method).lower())
                if view is None:
                    raise errors.wrong_method(str(request.method))
                return view(request, *args, **kwargs)
            except Exception as error:
                found = translated(error)
                if found.status == 500:
                    logger.exception("%s %s", request.method, request.path)
                return refused(found)

    return answer


def unknown(request: HttpRequest) -> HttpResponse:
    """There is nothing at this address."""
    return refused(errors.unknown_path(request.path))


def answered(data: dict[str, Any]) -> JsonResponse:
    """JSON with status 200, as OpenAI answers everything."""
    return JsonResponse(data, json_dumps_params={"ensure_ascii": False})


def body_of(request: HttpRequest, asked: type[M]) -> M:
    """The request's JSON as what may be asked here. Raises GatewayError."""
    if len(request.body) > BODY:
        raise GatewayError(413, "request_too_large", "The request may have 1 MiB.")
    try:
        return asked.model_validate(json.loads(request.body))
    except ValidationError as error:
        raise first_problem(error.errors()) from None  # type: ignore[arg-type]
    except (ValueError, RecursionError):
        raise GatewayError(400, "invalid_json", "The request body is not valid JSON.") from None


def team_of(request: HttpRequest, perm: str) -> Any:
    """The team for which something is made: of the request, of its key, or the only one.

    Raises GatewayError where that is not said.
    """
    actor: Any = request.user
    for header in HEADERS:
        if slug := request.headers.get(header, ""):
            return team_named(actor, slug, "project")
    teams = teams_where(actor, perm)
    if actor.auth_token.team_id is not None:
        teams = [team for team in teams if team.pk == actor.auth_token.team_id]
    if len(teams) == 1:
        return teams[0]
    if not teams:
        raise GatewayError(
            403, "permission_denied", f"This key lets you do this in no team; it needs {perm}.",
            kind="permission_error",
        )  # fmt: skip
    names = ", ".join(team.slug for team in teams[:20])
    said = f"Say for which team: OpenAI(project=…) with one of {names}."
    raise GatewayError(400, "missing_project", said, param="project")


def _user(request: HttpRequest) -> Any:
    word, _space, text = request.headers.get("authorization", "").partition(" ")
    token = token_find(text.strip()) if word.lower() == "bearer" else None
    if token is None:
        raise errors.unauthorized()
    token.user.auth_token = token
    return token.user
