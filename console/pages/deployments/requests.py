"""The log of calls of a deployment, and one call in full. Texts are not kept."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from console.pages.deployments.outcomes import outcome_of, say_outcomes, title_of, way_words
from console.pages.deployments.waterfall import speed, waterfall
from models_app.core.clock import now
from models_app.core.errors import InvalidInput, NotFound
from models_app.core.validation import parse
from models_app.deployments import selectors
from models_app.deployments.models import Deployment, RequestRecord
from models_app.deployments.request_log import (
    RequestFilter,
    recent_facets,
    requests_found,
    requests_with_id,
)
from models_app.routing.selectors import route_list

ROWS = 50
REVISIONS_OFFERED = 30
SPANS = {
    "15m": dt.timedelta(minutes=15),
    "1h": dt.timedelta(hours=1),
    "24h": dt.timedelta(hours=24),
    "7d": dt.timedelta(days=7),
}
#: What is true of a call or not: one menu instead of four.
MARKS = ("degraded", "resumed", "mirrored", "reused")
PLAIN = ("outcome", "status", "revision", "replica", "cache", "user", "slower_ms")


@login_required
def deployment_requests(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Calls of a deployment, newest first, as filtered."""
    actor: Any = request.user
    row = selectors.deployment_by_name(actor=actor, team=team, name=name)
    chosen = {key: request.GET.get(key, "").strip() for key in (*PLAIN, "mark", "last", "request")}
    records: list[RequestRecord] = []
    problems: dict[str, list[str]] = {}
    try:
        rows = requests_found(actor=actor, deployment=row, wanted=_wanted(chosen))
        records = list(_from(request.GET.get("cursor", ""), rows)[: ROWS + 1])
    except InvalidInput as error:
        problems = error.errors
    more = len(records) > ROWS
    context = {
        "deployment": row,
        "topic": f"deployment.{row.pk}",
        "records": say_outcomes(records[:ROWS]),
        "next_cursor": records[ROWS - 1].pk if more else None,
        "filters": _filters(actor, row, chosen),
        "filtered": any(chosen.values()),
        "days": settings.REQUEST_KEEP_DAYS,
        "problems": [f"{name}: {text}" for name, said in problems.items() for text in said],
        "search": {
            "name": "request",
            "value": chosen["request"],
            "placeholder": _("Request ID, or how it begins"),
        },
    }
    return render(request, "deployments/requests.html", context, status=422 if problems else None)


@login_required
def deployment_request(request: HttpRequest, team: str, name: str, request_id: str) -> HttpResponse:
    """One call: what was asked for, who answered, and where its time went."""
    actor: Any = request.user
    row = selectors.deployment_by_name(actor=actor, team=team, name=name)
    found = requests_with_id(actor=actor, deployment=row, request_id=request_id)
    wanted = request.GET.get("row", "")
    if wanted:
        record = next((one for one in found if str(one.pk) == wanted), None)
        if record is None:
            raise NotFound(
                _("There is no such request. One that has just ended is there within a second.")
            )
    else:
        record = found[0]
    context = {
        "deployment": row,
        "record": record,
        "others": say_outcomes([one for one in found if one is not record]),
        "outcome": outcome_of(record),
        "parts": waterfall(record),
        "speed": speed(record),
        "route": _route(actor, row, record),
        "on_the_way": way_words(record.detail),
    }
    return render(request, "deployments/request.html", context)


def _wanted(chosen: dict[str, str]) -> RequestFilter:
    """From the address to what calls must be like; InvalidInput where a value is none."""
    asked: dict[str, Any] = {key: chosen[key] for key in PLAIN if chosen[key]}
    if chosen["outcome"].isdigit():
        asked["status"] = asked.pop("outcome")
    if chosen["mark"] in MARKS:
        asked[chosen["mark"]] = True
    if chosen["last"] in SPANS:
        asked["since"] = now() - SPANS[chosen["last"]]
    if chosen["request"]:
        asked["request_id"] = chosen["request"]
    return parse(RequestFilter, asked)


def _from(cursor: str, rows: Any) -> Any:
    """Those after the cursor: the last row of the page before."""
    valid = cursor.isascii() and cursor.isdigit() and len(cursor) < 19
    return rows.filter(pk__lt=int(cursor)) if valid else rows


def _filters(actor: Any, row: Deployment, chosen: dict[str, str]) -> list[dict[str, Any]]:
    facets = recent_facets(row)
    numbers = selectors.revision_list(actor=actor, deployment=row).values_list("number", flat=True)
    outcomes = [
        ("answered", _("Answered")),
        ("failed", _("Failed")),
        ("refused", _("Refused")),
        *((str(name), _coded(str(name))) for name, _label in facets["outcome"]),
    ]
    menus: list[tuple[str, str, list[Any]]] = [
        ("outcome", _("Any outcome"), outcomes),
        ("revision", _("Any revision"), [(n, f"r{n}") for n in numbers[:REVISIONS_OFFERED]]),
        ("replica", _("Any replica"), facets["replica"]),
        (
            "cache",
            _("Cache of answers"),
            [("hit", _("Given from the cache")), ("miss", _("Not in the cache"))],
        ),
        (
            "mark",
            _("Of any kind"),
            [
                ("degraded", _("Degraded")),
                ("resumed", _("Resumed")),
                ("mirrored", _("Copies")),
                ("reused", _("Known beginning")),
            ],
        ),
        ("user", _("Anybody"), facets["user"]),
        (
            "slower_ms",
            _("Any duration"),
            [
                ("100", _("From 100 ms")),
                ("500", _("From 500 ms")),
                ("1000", _("From 1 s")),
                ("5000", _("From 5 s")),
                ("30000", _("From 30 s")),
            ],
        ),
        (
            "last",
            _("Any time"),
            [
                ("15m", _("Last 15 minutes")),
                ("1h", _("Last hour")),
                ("24h", _("Last 24 hours")),
                ("7d", _("Last 7 days")),
            ],
        ),
    ]
    return [_menu(name, label, options, chosen[name]) for name, label, options in menus]


def _coded(name: str) -> str:
    """A way to end as the menu has it: in words, with the code that programs get."""
    title = title_of(name)
    return name if title == name else f"{title} ({name})"


def _menu(name: str, label: str, options: list[Any], value: str) -> dict[str, Any]:
    """A menu; what the address asks for is in it even if it is offered to nobody."""
    if value and value not in {str(option) for option, _label in options}:
        options = [*options, (value, value)]
    return {"name": name, "label": label, "value": value, "options": options}


def _route(actor: Any, row: Deployment, record: RequestRecord) -> Any:
    """The route that was asked, if it is still there."""
    team, _slash, name = record.model.partition("/")
    if not record.rule or team != row.team.slug or not name:
        return None
    return route_list(actor=actor, team=team, name=name).first()
