"""API tokens of one's own: list, new, shown once, replace, revoke."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.access import selectors
from console.access.forms import TokenForm
from console.access.models import ApiToken, User
from console.access.roles import Scope
from console.access.services import token_create, token_revoke, token_rotate
from console.access.views.base import actor_of, page_of, shown_once
from console.pages.forms import add_errors
from models_app.core.clock import now
from models_app.core.errors import InvalidInput


@login_required
def token_list(request: HttpRequest) -> HttpResponse:
    """The actor's tokens; `status` in the URL narrows them."""
    actor = actor_of(request)
    status = request.GET.get("status", "")
    rows = selectors.token_list(actor=actor)
    if status == "active":
        rows = rows.filter(revoked_at=None).exclude(expires_at__lte=now())
    elif status == "revoked":
        rows = rows.exclude(revoked_at=None)
    page = page_of(request, rows)
    for token in page:
        _describe(token)
    count = page.paginator.count
    options = [("active", _("Active")), ("revoked", _("Revoked"))]
    context = {
        "page": page,
        "filters": [
            {"name": "status", "label": _("Any status"), "value": status, "options": options}
        ],
        "result": ngettext("%(n)s token", "%(n)s tokens", count) % {"n": count},
    }
    return render(request, "access/tokens.html", context)


@never_cache
@login_required
def token_new(request: HttpRequest) -> HttpResponse:
    """Make a token; its secret is on the page that answers."""
    actor = actor_of(request)
    form = TokenForm(request.POST or None, teams=selectors.team_list(actor=actor))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            token, secret = token_create(
                actor=actor,
                name=given["name"],
                scopes=given["scopes"],
                team=given["team"],
                expires_in_days=None if given["days"] == "never" else int(given["days"]),
            )
        except InvalidInput as error:
            add_errors(form, error)
        else:
            return _shown(request, token, secret)
    return render(request, "access/token_new.html", {"form": form})


@require_POST
@login_required
def token_rotate_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Replace a token; the old one works on for an hour."""
    actor = actor_of(request)
    token = selectors.token_get(actor=actor, token_id=pk)
    fresh, secret = token_rotate(actor=actor, token=token)
    return _shown(request, fresh, secret, replaced=True)


@require_POST
@login_required
def token_revoke_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop a token at once."""
    actor = actor_of(request)
    token = token_revoke(actor=actor, token=_reachable(actor, pk))
    messages.success(request, _("The token %(name)s has stopped.") % {"name": token.name})
    if token.user_id != actor.pk:
        return redirect("person_detail", token.user_id)
    return redirect("token_list")


def _reachable(actor: User, pk: int) -> ApiToken:
    """One's own token; the service lets admins reach others' as well."""
    if actor.has_perm("access.change_user"):
        return ApiToken.objects.filter(pk=pk).first() or ApiToken(pk=pk)
    return selectors.token_get(actor=actor, token_id=pk)


def _shown(
    request: HttpRequest, token: ApiToken, secret: str, replaced: bool = False
) -> HttpResponse:
    context = {
        "token": _describe(token),
        "secret": secret,
        "replaced": replaced,
        "base": settings.PUBLIC_URL,
        "may_ask": Scope.INFER in token.scopes,
    }
    return shown_once(request, "access/token_shown.html", context)


def _describe(token: ApiToken) -> ApiToken:
    """Adds what the templates show: the state and the words of the scopes."""
    if token.revoked_at is not None:
        token.status = "revoked"  # type: ignore[attr-defined]
    else:
        token.status = "active" if token.usable() else "expired"  # type: ignore[attr-defined]
    token.scope_labels = [(s, Scope(s).label) for s in token.scopes]  # type: ignore[attr-defined]
    return token
