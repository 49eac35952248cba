"""Whoever signs in with a password that somebody else chose must change it first."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from console.problems import problem_response
from models_app.core.errors import PermissionDenied

Handler = Callable[[HttpRequest], HttpResponse]

#: URL names that stay open: the change itself, the way out, the language, signs of life.
OPEN = frozenset({"password_change", "logout", "login", "set_language", "healthz", "readyz"})


class PasswordChangeMiddleware:
    """Sends people with `must_change_password` to the page where they change it.

    Only sessions are meant: a token is no password, and its owner made it after the first change.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.url_name in OPEN or _with_token(request):
            return None
        user = request.user
        if not user.is_authenticated or not user.must_change_password:
            return None
        if request.path.startswith("/api/v1/"):
            said = _("Sign in and choose a new password first.")
            return problem_response(PermissionDenied(said))
        return redirect(reverse("password_change"))


def _with_token(request: HttpRequest) -> bool:
    return request.headers.get("authorization", "").lower().startswith("bearer ")
