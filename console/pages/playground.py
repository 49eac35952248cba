"""The playground: one prompt to one or two deployments, streamed by the gateway to the page."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from console.access.browser_tokens import LIFETIME_S, browser_token
from console.pages.navigation import url_or_none
from models_app.deployments.models import Deployment
from models_app.deployments.selectors import deployment_list
from models_app.routing.selectors import route_list

PANES = ("a", "b")
#: More than this many do not fit a menu; the address still names any of them.
SHOWN = 200


@login_required
@require_GET
def playground(request: HttpRequest) -> HttpResponse:
    """The page; `?a=team/name&b=team/name` says which deployments answer."""
    actor: Any = request.user
    wanted = [request.GET.get(pane, "") for pane in PANES]
    choices = [_choice(row) for row in _askable(actor, wanted)]
    choices += _routes(actor, choices)
    names = {choice["name"] for choice in choices}
    panes = [
        {
            "key": key,
            "chosen": name if name in names else "",
            "missing": name if name not in names else "",
        }
        for key, name in zip(PANES, wanted, strict=True)
    ]
    if not wanted[0]:
        panes[0]["chosen"] = _first(choices)
    context = {
        "choices": choices,
        "panes": panes,
        "two": bool(wanted[1]),
        "base_url": request.build_absolute_uri("/v1"),
        "playground_strings": _strings(),
        "figures": [
            ("ttft", _("First token")),
            ("speed", _("Tokens/s")),
            ("cost", _("Tokens in + out")),
            ("total", _("Total")),
        ],
    }
    return render(request, "playground/playground.html", context)


@login_required
@require_POST
@never_cache
def playground_token(request: HttpRequest) -> JsonResponse:
    """A token for `/v1` that lives a quarter of an hour; the page keeps it in memory only."""
    user: Any = request.user
    return JsonResponse({"token": browser_token(user), "expires_in_s": LIFETIME_S})


def _askable(actor: Any, wanted: list[str]) -> list[Deployment]:
    rows = deployment_list(actor=actor).filter(stopped_at=None, active_revision__isnull=False)
    shown = list(rows[:SHOWN])
    known = {row.pk for row in shown}
    for name in wanted:
        team, _slash, deployment = name.partition("/")
        shown += [r for r in rows.filter(team__slug=team, name=deployment) if r.pk not in known]
    return shown


def _choice(row: Any) -> dict[str, Any]:
    revision = row.active_revision
    version = revision.model_version
    return {
        "name": f"{row.team.slug}/{row.name}",
        "version": f"{version.model.name} v{version.number}",
        "ready": row.ready_replicas,
        # Without a template of its own a model continues text rather than answers.
        "chat": "chat_template.jinja" in version.manifest,
        "context": _context(revision),
        "href": url_or_none("deployment_requests", row.team.slug, row.name) or "",
    }


def _routes(actor: Any, deployments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Routes that lead to one of these deployments, with its abilities: the first that the rest of
    the requests goes to.
    """
    by_name = {choice["name"]: choice for choice in deployments}
    found = []
    for row in route_list(actor=actor)[:SHOWN]:
        spec = row.current.spec if row.current else {}
        targets = [f"{row.team.slug}/{t['deployment']}" for t in spec.get("targets", ())]
        known = [by_name[name] for name in targets if name in by_name]
        if known and spec.get("enabled", True):
            name = f"{row.team.slug}/{row.name}"
            href = url_or_none("route_detail", row.team.slug, row.name) or ""
            ready = sum(choice["ready"] for choice in known)
            found.append({**known[0], "name": name, "ready": ready, "href": href})
    return found


def _context(revision: Any) -> int:
    """Tokens that prompt and answer may have together; 0 where it is not known."""
    limits = (
        revision.model_version.facts.get("context"),
        revision.spec_in_effect.get("max_context"),
    )
    return min((int(limit) for limit in limits if limit), default=0)


def _first(choices: list[dict[str, Any]]) -> str:
    ready = [choice["name"] for choice in choices if choice["ready"]]
    return ready[0] if ready else choices[0]["name"] if choices else ""


def _strings() -> dict[str, str]:
    """What static/js/playground.js says, besides the strings of every page."""
    return {
        "instructions": _("Instructions"),
        "prompt": _("Prompt"),
        "starting": _("No replica is ready yet. Requests wait a few seconds for one."),
        "notReady": _("not ready"),
        "copy": _("Copy"),
        "again": _("Ask again"),
        "stop": _("Stop"),
        "request": _("Request %s"),
        "pickFirst": _("Choose a deployment first."),
        "busy": _("An answer is still coming. Stop it first."),
        "failed": _("No answer"),
        "brokeOff": _("The answer broke off"),
        "unreachable": _("The gateway does not answer. Check your connection and send again."),
        "lengthReached": _("The longest answer was reached."),
        "empty": _("The model ended its answer without a word."),
        "signedOut": _("Your session has ended. Sign in again."),
        "badSeed": _("The seed is a whole number."),
        "ms": _("%s ms"),
        "s": _("%s s"),
    }


urlpatterns = [
    path("playground/", playground, name="playground"),
    path("playground/token/", playground_token, name="playground_token"),
]
