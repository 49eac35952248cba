"""Sign in, sign out, change the password."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from console.access.forms import LoginForm, PasswordForm
from console.access.services import password_change, sessions_end, user_signed_in
from console.access.views.base import actor_of
from console.pages.forms import add_errors
from models_app.core.errors import InvalidInput


@method_decorator(never_cache, name="dispatch")
class SignInView(LoginView):
    """Address and password; the session key changes, and `next` stays within the console."""

    template_name = "access/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        user_signed_in(user=form.get_user())
        return response


@sensitive_post_parameters()
@never_cache
@login_required
def password_change_view(request: HttpRequest) -> HttpResponse:
    """Change one's own password; this session goes on, all others end."""
    actor = actor_of(request)
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            user = password_change(
                actor=actor, user=actor, old=given["old_password"], new=given["new_password"]
            )
        except InvalidInput as error:
            add_errors(form, error)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, _("Your password is changed. Other sessions have ended."))
            return redirect(_next(request))
    context = {"form": form, "forced": actor.must_change_password, "next": _next(request, "")}
    return render(request, "access/password.html", context)


@login_required
def sessions_end_view(request: HttpRequest) -> HttpResponse:
    """Sign out on all other devices; this session goes on."""
    if request.method == "POST":
        actor = actor_of(request)
        update_session_auth_hash(request, sessions_end(actor=actor, user=actor))
        messages.success(request, _("You are signed out everywhere else."))
    return redirect("account")


def _next(request: HttpRequest, otherwise: str = settings.LOGIN_REDIRECT_URL) -> str:
    """Where to go on, if it lies within the console."""
    url = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    if url_has_allowed_host_and_scheme(url, {request.get_host()}, request.is_secure()):
        return url
    return otherwise
