"""One's own page: name, language, memberships, sessions."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from console.access import selectors
from console.access.forms import NameForm
from console.access.services import user_update
from console.access.views.base import actor_of
from console.pages.forms import add_errors
from models_app.core.clock import now
from models_app.core.errors import InvalidInput


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Show and change what a person may change of themselves."""
    actor = actor_of(request)
    form = NameForm(request.POST or None, initial={"name": actor.name})
    if request.method == "POST" and form.is_valid():
        try:
            user_update(actor=actor, user=actor, name=form.cleaned_data["name"])
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Your name is saved."))
            return redirect("account")
    tokens = selectors.token_list(actor=actor).filter(revoked_at=None)
    context = {
        "form": form,
        "person": selectors.user_get(actor=actor, user_id=actor.pk),
        "tokens": sum(token.usable(now()) for token in tokens),
        "session_ends": request.session.get_expiry_date(),
    }
    return render(request, "access/account.html", context)
