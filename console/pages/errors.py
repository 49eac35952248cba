"""Error pages: what is affected, what is not, what to do, the request's id; JSON for programs."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from console.problems import CONTENT_TYPE, problem


def _answer(request: HttpRequest, status: int, code: str, title: str) -> HttpResponse:
    accept = request.headers.get("accept", "")
    if request.path.startswith("/api/") or "application/json" in accept:
        return JsonResponse(
            problem(status=status, code=code, title=title), status=status, content_type=CONTENT_TYPE
        )
    return render(request, f"errors/{status}.html", status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400"""
    return _answer(request, 400, "malformed", _("The request cannot be read"))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403"""
    return _answer(request, 403, "permission_denied", _("Not allowed"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404"""
    return _answer(request, 404, "not_found", _("Not found"))


def server_error(request: HttpRequest) -> HttpResponse:
    """500"""
    return _answer(request, 500, "error", _("Something went wrong on our side"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: the form is too old, or was not ours. Says how to send it again."""
    accept = request.headers.get("accept", "")
    if request.path.startswith("/api/") or "application/json" in accept:
        return _answer(request, 403, "csrf", _("The request carries no valid CSRF token"))
    return render(request, "errors/csrf.html", status=403)
