"""Around every request: an id and the caller's address for the audit log, and errors as pages."""

import ipaddress
import secrets
from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from console.problems import problem_response
from models_app.core.context import RequestContext, current
from models_app.core.errors import NotFound, SlipwayError

Handler = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """Gives the request an id (the client's own if it is sane) and remembers its origin."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = sane_request_id(request.headers.get("x-request-id", ""))
        request.request_id = request_id  # type: ignore[attr-defined]
        via = "api" if request.path.startswith(("/api/", "/mlflow/")) else "browser"
        token = current.set(RequestContext(request_id=request_id, ip=client_ip(request), via=via))
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-Id"] = request_id
        return response


class ErrorPageMiddleware:
    """Turns anticipated errors of pages into a message or an error page with the right status."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DataError) and "NUL (0x00)" in str(error):
            # PostgreSQL knows no such text; programs get theirs checked field by field.
            raise BadRequest("A text with a NUL character.") from error
        if not isinstance(error, SlipwayError):
            return None
        if request.path.startswith("/api/") or "application/json" in request.headers.get(
            "accept", ""
        ):
            return problem_response(error)
        if isinstance(error, NotFound):
            raise Http404(error.message)
        if request.method == "POST" and error.status in {409, 422}:
            messages.error(request, error.message)
            return redirect(_back(request))
        return render(
            request,
            f"errors/{403 if error.status == 403 else 500}.html",
            {"error": error},
            status=error.status,
        )


def sane_request_id(text: str) -> str:
    """The client's id if it is short and plain, else a new one."""
    if 0 < len(text) <= 64 and text.isascii() and all(c.isalnum() or c in "-_." for c in text):
        return text
    return f"req_{secrets.token_hex(8)}"


def client_ip(request: HttpRequest) -> str:
    """The peer's address, or the one our own proxies put into X-Forwarded-For."""
    hops = [h.strip() for h in request.headers.get("x-forwarded-for", "").split(",") if h.strip()]
    count = settings.PROXY_COUNT
    address = hops[-count] if count and len(hops) >= count else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


def _back(request: HttpRequest) -> str:
    referer = request.headers.get("referer", "")
    if url_has_allowed_host_and_scheme(referer, {request.get_host()}, request.is_secure()):
        return referer
    return "/"
