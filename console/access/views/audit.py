"""The audit log as a page: filters in the URL, links to the things, changes in words."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from console.access import selectors
from console.access.audit_links import change_lines, object_href
from console.access.views.base import actor_of
from models_app.audit.actions import action_label
from models_app.audit.models import AuditEvent
from models_app.audit.selectors import event_list
from models_app.core.errors import InvalidInput

PER_PAGE = 50
FILTERS = ("action", "team", "object_type", "object_id", "since", "until")
#: Beginning of an action -> what it is about.
AREAS = [
    ("job.", _("Jobs")),
    ("dataset", _("Datasets")),
    ("config", _("Configurations")),
    ("model", _("Models")),
    ("approval", _("Approvals")),
    ("evaluation", _("Evaluations")),
    ("deployment", _("Deployments")),
    ("revision", _("Revisions")),
    ("rollout", _("Roll-outs")),
    ("environment", _("Environments")),
    ("user.", _("People")),
    ("team.", _("Teams")),
    ("membership.", _("Memberships")),
    ("token.", _("API tokens")),
]


@login_required
def audit_list(request: HttpRequest) -> HttpResponse:
    """Newest first, 50 at a time."""
    actor = actor_of(request)
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    errors: dict[str, list[str]] = {}
    try:
        rows = event_list(actor=actor, query=request.GET.get("q", ""), **chosen)
    except InvalidInput as error:
        errors, rows = error.errors, AuditEvent.objects.none()
    cursor = request.GET.get("cursor", "")
    if cursor.isascii() and cursor.isdecimal() and len(cursor) < 19:
        rows = rows.filter(pk__lt=int(cursor))
    events = list(rows[: PER_PAGE + 1])
    more, events = len(events) > PER_PAGE, events[:PER_PAGE]
    for event in events:
        event.href = object_href(event)  # type: ignore[attr-defined]
        event.lines = change_lines(event.changes)  # type: ignore[attr-defined]
    context = {
        "events": events,
        "next_cursor": str(events[-1].pk) if more else None,
        "chosen": {**chosen, "q": request.GET.get("q", "")},
        "filtered": any(chosen.values()) or request.GET.get("q"),
        "areas": _areas(chosen["action"]),
        "teams": selectors.team_list(actor=actor),
        "errors": errors,
    }
    return render(request, "audit/list.html", context, status=422 if errors else 200)


def _areas(chosen: str) -> list[tuple[str, Any]]:
    """What the log can be narrowed to; one single action too, while it is what was chosen."""
    one = [(chosen, action_label(chosen))] if chosen and chosen not in dict(AREAS) else []
    return [*AREAS, *one]
