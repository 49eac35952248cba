"""The playground: one prompt to one or two models, streamed by the gateway to the page."""

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
from models_app.core.errors import NotFound
from models_app.deployments.models import Deployment
from models_app.deployments.request_log import request_seen
from models_app.deployments.selectors import deployment_list
from models_app.registry.states import Family
from models_app.routing.selectors import route_list

PANES = ("a", "b")
#: More than this many do not fit a menu; the address still names any of them.
SHOWN = 200


@login_required
@require_GET
def playground(request: HttpRequest) -> HttpResponse:
    """The page; `?a=team/name&b=team/name` says which models answer, by any of their names."""
    actor: Any = request.user
    wanted = [request.GET.get(pane, "") for pane in PANES]
    rows = _askable(actor, wanted)
    choices = [_choice(row) for row in rows]
    choices += [*_routes(actor, choices), *_adapters(rows, choices), *_versions(rows, choices)]
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
        "groups": _grouped(choices),
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


@login_required
@require_GET
@never_cache
def playground_request(request: HttpRequest, request_id: str) -> JsonResponse:
    """Who answered one of the caller's own requests, and where its page is; 202 until it is
    written down, which takes a moment and is no failure.
    """
    actor: Any = request.user
    try:
        record = request_seen(actor=actor, request_id=request_id)
    except NotFound as error:
        return JsonResponse({"detail": str(error)}, status=202)
    deployment: Any = record.deployment
    names = [deployment.team.slug, deployment.name, record.request_id]
    return JsonResponse(
        {
            "href": url_or_none("deployment_request", *names) or "",
            "deployment": f"{deployment.team.slug}/{deployment.name}",
            "revision": record.revision.number if record.revision else None,
            "replica": record.replica_id,
        }
    )


def _askable(actor: Any, wanted: list[str]) -> list[Deployment]:
    rows = deployment_list(actor=actor).filter(stopped_at=None, active_revision__isnull=False)
    rows = rows.prefetch_related("active_revision__adapters__model_version__model")
    shown = list(rows[:SHOWN])
    known = {row.pk for row in shown}
    for name in wanted:
        team, _slash, deployment = name.partition(":")[0].partition("/")
        found = rows.filter(team__slug=_plain(team), name=_plain(deployment))
        shown += [row for row in found if row.pk not in known]
        known.update(row.pk for row in shown)
    return shown


def _plain(text: str) -> str:
    return text.replace("\0", "")


def _choice(row: Any) -> dict[str, Any]:
    revision = row.active_revision
    version = revision.model_version
    return {
        "name": f"{row.team.slug}/{row.name}",
        "group": "deployments",
        "version": f"{version.model.name} v{version.number}",
        "ready": row.ready_replicas,
        # Without a template of its own a model continues text rather than answers.
        "chat": "chat_template.jinja" in version.manifest,
        "context": _context(revision),
    }


def _adapters(rows: list[Any], choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`team/deployment:adapter`, with the abilities of its deployment."""
    return [
        {
            **choice,
            "name": f"{choice['name']}:{one.name}",
            "group": "adapters",
            "version": f"{one.model_version.model.name} v{one.model_version.number}",
        }
        for row, choice in zip(rows, choices, strict=False)
        for one in row.active_revision.adapters.all()
    ]


def _versions(rows: list[Any], choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`team/model:v3`, which the first deployment that serves it answers."""
    found: dict[str, dict[str, Any]] = {}
    for row, choice in zip(rows, choices, strict=False):
        version = row.active_revision.model_version
        name = f"{row.team.slug}/{version.model.name}:v{version.number}"
        found.setdefault(name, {**choice, "name": name, "group": "versions"})
    return list(found.values())


def _grouped(choices: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Names by what they are, for the menus."""
    labels = {
        "deployments": _("Deployments"),
        "routes": _("Routes"),
        "adapters": _("Adapters"),
        "versions": _("Versions"),
    }
    groups = [
        (label, [choice["name"] for choice in choices if choice["group"] == group])
        for group, label in labels.items()
    ]
    return [(label, names) for label, names in groups if names]


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
            ready = sum(choice["ready"] for choice in known)
            found.append({**known[0], "name": name, "group": "routes", "ready": ready})
    return found


def _context(revision: Any) -> int:
    """Tokens that prompt and answer may have together; 0 where it is not known.

    An n-gram's context is how far it looks back, which limits no answer.
    """
    version = revision.model_version
    looks_back = version.model.family in (Family.NGRAM, Family.HMM)
    limits = (
        None if looks_back else version.facts.get("context"),
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
        "fromCache": _("From the cache of answers"),
        "degraded": _("Degraded: %s"),
        "servedBy": _("%(deployment)s r%(revision)s, replica %(replica)s"),
        "servedByCache": _("%(deployment)s r%(revision)s"),
        "token": _("%(token)s, %(percent)s"),
        "tokens": _("Answer, token by token. Move with the arrow keys."),
        "others": _("It could also have been"),
        "noOthers": _("Nothing else was likely."),
        "space": _("space"),
        "newLine": _("new line"),
        "partOfCharacter": _("part of a character"),
    }


urlpatterns = [
    path("playground/", playground, name="playground"),
    path("playground/token/", playground_token, name="playground_token"),
    path("playground/requests/<path:request_id>/", playground_request, name="playground_request"),
]
