"""Pages that show routes."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.lists import list_context, page_of, team_menu, teams_seen
from console.pages.routes.detail import route_context, rule_views
from models_app.approvals.selectors import environment_list
from models_app.core.clock import now
from models_app.core.teams import teams_where
from models_app.deployments.models import RequestRecord
from models_app.routing import selectors
from models_app.routing.comparison import route_changes, route_lines
from models_app.routing.spec import RouteSpec


@login_required
def route_list(request: HttpRequest) -> HttpResponse:
    """Routes of one's teams, and how much each was asked in the last hour."""
    actor: Any = request.user
    chosen = {name: request.GET.get(name, "") for name in ("team", "environment")}
    rows = selectors.route_list(actor=actor, query=request.GET.get("q", ""), **chosen)
    page = page_of(request, rows)
    shown: list[Any] = list(page.object_list)
    asked = _asked([f"{row.team.slug}/{row.name}" for row in shown])
    for row in shown:
        row.spec = RouteSpec.model_validate(row.current.spec)
        row.requests = asked.get(f"{row.team.slug}/{row.name}", 0)
    teams = teams_seen(actor)
    environments = [(row.name, row.name) for row in environment_list()]
    menus = [("environment", _("Any environment"), environments), team_menu(teams)]
    count = page.paginator.count
    return render(
        request,
        "routes/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": shown,
            "may_create": bool(teams_where(actor, "routing.add_route")),
            "search": {"value": request.GET.get("q", ""), "placeholder": _("Name or description")},
            "result": ngettext("%(n)s route", "%(n)s routes", count) % {"n": count},
        },
    )


def _asked(names: list[str]) -> dict[str, int]:
    hour = now() - dt.timedelta(hours=1)
    rows = RequestRecord.objects.filter(model__in=names, at__gt=hour, mirrored=False)
    return dict(rows.order_by().values_list("model").annotate(n=Count("pk")))


@login_required
def route_detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Rules, shares, the tester (`?ask=1&…`), the mirror's report, history."""
    actor: Any = request.user
    row = selectors.route_by_name(actor=actor, team=team, name=name)
    context = route_context(actor, row, request.GET)
    status = 422 if context["question_errors"] else 200
    context["public_url"] = settings.PUBLIC_URL
    return render(request, "routes/detail.html", context, status=status)


@login_required
def route_revision(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """One revision: what it said, and what it changed against the one before or `?against=`."""
    actor: Any = request.user
    row = selectors.route_by_name(actor=actor, team=team, name=name)
    revision = selectors.route_revision_numbered(actor=actor, route=row, number=number)
    rows = selectors.route_revision_list(actor=actor, route=row)
    key = request.GET.get("against", "")
    wanted = int(key) if key.isascii() and key.isdecimal() and len(key) < 9 else number - 1
    other = rows.filter(number=wanted).exclude(pk=revision.pk).first()
    return render(
        request,
        "routes/revision.html",
        {
            "route": row,
            "revision": revision,
            "other": other,
            "own_label": f"r{number}",
            "other_label": f"r{other.number}" if other else "",
            "numbers": list(rows.values_list("number", flat=True)[:200]),
            "changes": route_changes(other.spec, revision.spec) if other else [],
            "lines": route_lines(other.spec, revision.spec) if other else [],
            "rules": rule_views(RouteSpec.model_validate(revision.spec), []),
            "may": {"change": actor.has_perm("routing.change_route", row)},
        },
    )
