"""The audit log as a page: filters in the URL, links to the things, changes in words."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from console.access import selectors
from console.access.views.base import actor_of
from console.pages.navigation import url_or_none
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
    ("version", _("Versions")),
    ("approval", _("Approvals")),
    ("deployment", _("Deployments")),
    ("environment", _("Environments")),
    ("user.", _("People")),
    ("team.", _("Teams")),
    ("membership.", _("Memberships")),
    ("token.", _("API tokens")),
]
#: Kind of thing -> URL name of its page, which takes the id.
PAGES = {
    "job": "job_detail",
    "dataset": "dataset_detail",
    "model": "model_detail",
    "deployment": "deployment_detail",
    "approval request": "approval_detail",
    "person": "person_detail",
}


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
        "areas": AREAS,
        "teams": selectors.team_list(actor=actor),
        "errors": errors,
    }
    return render(request, "audit/list.html", context, status=422 if errors else 200)


def object_href(event: AuditEvent) -> str | None:
    """The page of the thing, if it has one."""
    if event.object_type == "team" and event.team is not None:
        return url_or_none("team_detail", event.team.slug)
    if event.object_type == "membership" and event.team is not None:
        return url_or_none("team_detail", event.team.slug)
    name = PAGES.get(event.object_type)
    return url_or_none(name, event.object_id) if name else None


def change_lines(changes: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """(field, before or None, after) for each change, as text."""
    if set(changes) == {"from", "to"}:
        return [("", _text(changes["from"]), _text(changes["to"]))]
    return [_line(name, value) for name, value in changes.items()]


def _line(name: str, value: Any) -> tuple[str, str | None, str]:
    words = name.replace("_", " ")
    if isinstance(value, dict) and set(value) == {"from", "to"}:
        return words, _text(value["from"]), _text(value["to"])
    return words, None, _text(value)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    return str(value)
