"""Views of alerts: the list, and the one thing that people do to them."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.alerts.words import alert_row
from console.pages.context import nav_count
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from models_app.alerts import selectors
from models_app.alerts.rules import KIND
from models_app.alerts.services import alert_acknowledge
from models_app.alerts.states import AlertState, Severity
from models_app.configs.selectors import config_list, newest_revisions
from models_app.core.errors import WrongState
from models_app.core.teams import teams_where


@nav_count("alert_list", "alert.changed")
def firing(user: Any) -> dict[str, Any]:
    """The number beside the navigation entry."""
    return {"value": selectors.alerts_firing(actor=user), "tone": "red", "hint": _("firing")}


@login_required
def alert_list(request: HttpRequest) -> HttpResponse:
    """What fires first, worst first; then what is looked after, what may fire, what is over."""
    actor: Any = request.user
    chosen = {name: request.GET.get(name, "") for name in ("state", "severity", "team")}
    rows = selectors.worst_first(selectors.alert_list(actor=actor, **chosen))
    page = page_of(request, rows)
    count = page.paginator.count
    perm = "alerts.acknowledge_alert"
    teams = teams_seen(actor)
    menus = [
        ("state", _("Any state"), AlertState.choices),
        ("severity", _("Any severity"), Severity.choices),
        team_menu(teams),
    ]
    return render(
        request,
        "alerts/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": [
                alert_row(row, may_acknowledge=actor.has_perm(perm, row))
                for row in page.object_list
            ],
            "num_rules": _num_rules(actor),
            "may_add": bool(teams_where(actor, "configs.add_config")),
            "filtered": any(chosen.values()),
            "result": ngettext("%(n)s alert", "%(n)s alerts", count) % {"n": count},
        },
    )


@login_required
@require_POST
def alert_acknowledge_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody looks after it."""
    actor: Any = request.user
    alert = selectors.alert_get(actor=actor, alert_id=pk)
    try:
        alert_acknowledge(actor=actor, alert=alert)
    except WrongState as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("You look after %(alert)s.") % {"alert": alert})
    if request.POST.get("next") == "job" and alert.subject_kind == "training":
        return redirect("job_detail", alert.subject)
    return redirect("alert_list")


def _num_rules(actor: Any) -> int:
    """How many rules the actor's teams have written."""
    newest = newest_revisions(config_list(actor=actor, kind=KIND)[:500])
    return sum(len(row.spec.get("rules", ())) for row in newest.values())
