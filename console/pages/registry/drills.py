"""The page of reproduction drills: what was rebuilt by the clock, and whose teams want that."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from models_app.core.errors import InvalidInput
from models_app.core.teams import team_named
from models_app.registry.drill_selectors import drill_list, drill_plans
from models_app.registry.services import drill_plan_set
from models_app.registry.services.drilling import period_refused

PERM = "registry.plan_drills"
MOST_TOPICS = 50


@login_required
def drills(request: HttpRequest) -> HttpResponse:
    """Drills of my teams with their verdicts, and the plan of each team."""
    actor: Any = request.user
    plans: list[Any] = drill_plans(actor=actor)
    for plan in plans:
        plan.may_change = actor.has_perm(PERM, plan.team)
    page = Paginator(drill_list(actor=actor), 25).get_page(request.GET.get("page"))
    return render(
        request,
        "models/drills.html",
        {
            "plans": plans,
            "page": page,
            "drills": page.object_list,
            "usual_days": settings.DRILL_DAYS,
            "topics": " ".join(f"team.{plan.team.pk}" for plan in plans[:MOST_TOPICS]),
        },
    )


@login_required
@require_POST
def drill_plan(request: HttpRequest) -> HttpResponse:
    """Switch the drills of a team on or off: `team`, `is_on` and perhaps `days`."""
    actor: Any = request.user
    try:
        team = team_named(actor, request.POST.get("team", ""))
        plan = drill_plan_set(
            actor=actor, team=team, is_on=request.POST.get("is_on") == "yes",
            days=_days(request.POST.get("days", "").strip()),
        )  # fmt: skip
    except InvalidInput as error:
        messages.error(request, " ".join(text for said in error.errors.values() for text in said))
    else:
        said = _("Drills of %(team)s are on.") if plan.is_on else _("Drills of %(team)s are off.")
        messages.success(request, said % {"team": team})
    return redirect("model_drills")


def _days(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise period_refused()
    return int(text)
