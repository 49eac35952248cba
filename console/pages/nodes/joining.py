"""How a machine is added: a token that works once, the line to paste there, what is still open."""

import datetime as dt
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.pages.fields import LabelsField
from console.pages.forms import add_errors
from models_app.core.clock import now
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.pools import joining
from models_app.pools.access import console_url
from models_app.pools.joining_api import join_command
from models_app.pools.models import JoinToken

MANAGE = "pools.manage_node"
SHOWN = 30


class JoinForm(forms.Form):
    """What the new machine is for, which labels it gets, how long there is time."""

    note = forms.CharField(
        label=gettext_lazy("Which machine it is for"), required=False, max_length=200
    )
    hours = forms.TypedChoiceField(
        label=gettext_lazy("Good for"),
        coerce=int,
        initial=24,
        choices=[
            (1, gettext_lazy("1 hour")),
            (24, gettext_lazy("24 hours")),
            (168, gettext_lazy("7 days")),
        ],
    )
    labels = LabelsField(
        label=gettext_lazy("Labels"),
        help_text=gettext_lazy("The node gets them when it joins. One a line, as name=value."),
    )


@never_cache
@login_required
def join_tokens(request: HttpRequest) -> HttpResponse:
    """Make a token; the answer shows it this once, with the line to paste."""
    actor: Any = request.user
    require(actor, MANAGE)
    form = JoinForm(request.POST or None)
    made, command = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            made, command = _make(actor, form.cleaned_data)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            form = JoinForm()
    return render(
        request,
        "nodes/join.html",
        {
            "form": form,
            "made": made,
            "command": command,
            "tokens": [_row(token) for token in joining.join_token_list(actor=actor)[:SHOWN]],
            "reachable": urlsplit(console_url()).hostname not in ("127.0.0.1", "localhost", "::1"),
        },
        status=422 if form.errors else 200,
    )


@login_required
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Nobody joins with it any more."""
    actor: Any = request.user
    joining.join_token_revoke(actor=actor, token_id=pk)
    messages.success(request, _("The join token is revoked."))
    return redirect("node_join_tokens")


def _make(actor: Any, given: dict[str, Any]) -> tuple[JoinToken, str]:
    token, text = joining.join_token_create(
        actor=actor,
        note=given["note"],
        labels=given["labels"],
        ttl=dt.timedelta(hours=given["hours"]),
    )
    return token, join_command(text)


def _row(token: JoinToken) -> dict[str, Any]:
    if token.used_at:
        state = "used"
    elif token.revoked_at:
        state = "revoked"
    else:
        state = "expired" if token.expires_at <= now() else "open"
    return {"token": token, "state": state}
