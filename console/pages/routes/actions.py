"""What is done to a route with one button: roll back, switch on or off, remove."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.forms import whole_number
from models_app.routing import services
from models_app.routing.models import Route
from models_app.routing.selectors import route_by_name


def _asked(request: HttpRequest, team: str, name: str) -> tuple[Any, Route, int]:
    """Who acts, on what, and which revision was on the page."""
    actor: Any = request.user
    row = route_by_name(actor=actor, team=team, name=name)
    return actor, row, whole_number(request.POST.get("base", ""), "base")


@login_required
@require_POST
def back(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """The revision named by `to` decides again."""
    actor, row, base = _asked(request, team, name)
    number = whole_number(request.POST.get("to", ""), "to")
    reason = request.POST.get("reason", "")
    services.route_roll_back(actor=actor, route=row, to=number, reason=reason, base=base)
    messages.success(request, _("r%(n)s decides again.") % {"n": number})
    return redirect("route_detail", team, name)


@login_required
@require_POST
def switch(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """On or off, as a revision like every other change."""
    actor, row, base = _asked(request, team, name)
    assert row.current is not None
    on = request.POST.get("on") == "1"
    services.route_revise(
        actor=actor,
        route=row,
        spec={**row.current.spec, "enabled": on},
        reason=request.POST.get("reason", ""),
        base=base,
    )
    messages.success(request, _("The route is on.") if on else _("The route is off."))
    return redirect("route_detail", team, name)


@login_required
@require_POST
def remove(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Its name is free from now on."""
    actor, row, base = _asked(request, team, name)
    reason = request.POST.get("reason", "")
    services.route_remove(actor=actor, route=row, reason=reason, base=base)
    messages.success(request, _("%(name)s is removed.") % {"name": f"{team}/{name}"})
    return redirect("route_list")
