"""People: list, new person, one person and what an admin does to them."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.access import selectors
from console.access.forms import NameForm, PersonForm
from console.access.models import User
from console.access.roles import Role
from console.access.services import (
    membership_set,
    password_reset,
    sessions_end,
    user_activate,
    user_create,
    user_deactivate,
    user_update,
)
from console.access.views.base import actor_of, page_of, say_errors, shown_once
from console.pages.forms import add_errors
from models_app.core.errors import InvalidInput
from models_app.core.permission import require


@login_required
def people(request: HttpRequest) -> HttpResponse:
    """People of the actor's teams, filtered by what the URL says."""
    actor = actor_of(request)
    chosen = {name: request.GET.get(name, "") for name in ("team", "role", "status")}
    rows = selectors.user_list(actor=actor, query=request.GET.get("q", ""), **chosen)
    page = page_of(request, rows)
    count = page.paginator.count
    teams = [(team.slug, str(team)) for team in selectors.team_list(actor=actor)]
    statuses = [
        ("active", _("Active")), ("inactive", _("Inactive")), ("admin", _("Platform admins"))
    ]  # fmt: skip
    context = {
        "page": page,
        "search": {"value": request.GET.get("q", ""), "placeholder": _("Name or email")},
        "filters": [
            _filter("team", _("Any team"), chosen["team"], teams),
            _filter("role", _("Any role"), chosen["role"], Role.choices),
            _filter("status", _("Any status"), chosen["status"], statuses),
        ],
        "result": ngettext("%(n)s person", "%(n)s people", count) % {"n": count},
        "may_add": actor.has_perm("access.add_user"),
    }
    return render(request, "access/people.html", context)


def _filter(name: str, label: str, value: str, options: Any) -> dict[str, Any]:
    return {"name": name, "label": label, "value": value, "options": options}


@never_cache
@login_required
def person_new(request: HttpRequest) -> HttpResponse:
    """Make a person; the one-time password is on the page that answers."""
    actor = actor_of(request)
    require(actor, "access.add_user")
    form = PersonForm(request.POST or None, teams=selectors.team_list(actor=actor))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            user, secret = _make(actor, given)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            context = {"person": user, "secret": secret, "fresh": True}
            return shown_once(request, "access/password_shown.html", context)
    return render(request, "access/person_new.html", {"form": form})


@transaction.atomic
def _make(actor: User, given: dict[str, Any]) -> tuple[User, str]:
    user, secret = user_create(
        actor=actor, email=given["email"], name=given["name"], is_admin=given["is_admin"]
    )
    if given["team"] is not None:
        membership_set(actor=actor, team=given["team"], user=user, role=given["role"])
    return user, secret


@login_required
def person_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One person; an admin renames them here."""
    actor = actor_of(request)
    user = selectors.user_get(actor=actor, user_id=pk)
    form = NameForm(request.POST or None, initial={"name": user.name})
    if request.method == "POST" and form.is_valid():
        try:
            user_update(actor=actor, user=user, name=form.cleaned_data["name"])
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The name is saved."))
            return redirect("person_detail", pk)
    manages = actor.has_perm("access.change_user")
    tokens = selectors.tokens_of(actor=actor, user=user)[:100] if manages else []
    context = {
        "person": user,
        "form": form,
        "manages": manages,
        "is_self": user.pk == actor.pk,
        "tokens": tokens,
    }
    return render(request, "access/person.html", context)


@require_POST
@login_required
def person_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """One of the buttons of an admin."""
    actor = actor_of(request)
    user = selectors.user_get(actor=actor, user_id=pk)
    try:
        if verb == "deactivate":
            user_deactivate(actor=actor, user=user)
            text = _("%(email)s can no longer sign in; sessions and tokens have stopped.")
        elif verb == "activate":
            user_activate(actor=actor, user=user)
            text = _("%(email)s can sign in again.")
        elif verb == "sign-out":
            sessions_end(actor=actor, user=user)
            text = _("%(email)s is signed out everywhere.")
        else:
            user_update(actor=actor, user=user, is_admin=verb == "admin")
            text = _("The rights of %(email)s are changed.")
    except InvalidInput as error:
        say_errors(request, error)
    else:
        messages.success(request, text % {"email": user.email})
    return redirect("person_detail", pk)


@require_POST
@login_required
def password_reset_view(request: HttpRequest, pk: int) -> HttpResponse:
    """A one-time password for somebody, on the page that answers."""
    actor = actor_of(request)
    user = selectors.user_get(actor=actor, user_id=pk)
    secret = password_reset(actor=actor, user=user)
    context = {"person": user, "secret": secret, "fresh": False}
    return shown_once(request, "access/password_shown.html", context)
