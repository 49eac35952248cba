"""Views of deployments that read: list, detail, one revision."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.deployments.detail import detail_context, revision_context
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from models_app.approvals.selectors import environment_list
from models_app.core.teams import teams_where
from models_app.deployments import selectors


@login_required
def deployment_list(request: HttpRequest) -> HttpResponse:
    """Deployments of my teams with what serves in each."""
    actor: Any = request.user
    chosen = {name: request.GET.get(name, "") for name in ("team", "environment")}
    rows = selectors.deployment_list(actor=actor, query=request.GET.get("q", ""), **chosen)
    page = page_of(request, rows)
    shown: list[Any] = list(page.object_list)
    for row in shown:
        row.status = selectors.deployment_status(row)
    teams = teams_seen(actor)
    environments = [(row.name, row.name) for row in environment_list()]
    menus = [("environment", _("Any environment"), environments), team_menu(teams)]
    count = page.paginator.count
    return render(
        request,
        "deployments/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": shown,
            "may_create": bool(teams_where(actor, "deployments.add_deployment")),
            "search": {"value": request.GET.get("q", ""), "placeholder": _("Name or description")},
            "result": ngettext("%(n)s deployment", "%(n)s deployments", count) % {"n": count},
        },
    )


@login_required
def deployment_detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """What serves, what is coming, replicas, revisions, figures, and how to call it."""
    actor: Any = request.user
    row = selectors.deployment_by_name(actor=actor, team=team, name=name)
    context = detail_context(actor, row, window=request.GET.get("window", ""))
    return render(
        request, "deployments/detail.html", {**context, "public_url": settings.PUBLIC_URL}
    )


@login_required
def revision_detail(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """One revision: its settings, what it changed, where it stands."""
    actor: Any = request.user
    row = selectors.deployment_by_name(actor=actor, team=team, name=name)
    revision = selectors.revision_by_number(actor=actor, deployment=row, number=number)
    return render(request, "deployments/revision.html", revision_context(actor, row, revision))
