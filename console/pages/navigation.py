"""The side bar: which areas exist, how they are reached, and which one a request is in."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Entry:
    """One link: URL name, icon, the key after `g`, URL names that belong to it, who may see it."""

    name: str
    label: str | Promise
    icon: str
    key: str = ""
    prefixes: tuple[str, ...] = ()
    permission: str = ""


@dataclass(frozen=True)
class Place:
    """Where a reader is: the address of the page and the name of its URL. Empty: nowhere known."""

    path: str = ""
    name: str = ""


#: (heading, entries); an entry is shown only once its URL name exists.
GROUPS: tuple[tuple[str | Promise, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("overview", _("Overview"), "layout-dashboard", "o"),
            Entry("approval_list", _("Approvals"), "user-check", "a", ("approval_",)),
        ),
    ),
    (
        _("Build"),
        (
            Entry(
                "model_list",
                _("Models"),
                "cube",
                "m",
                ("model_", "version_", "training_"),
            ),
            Entry("run_list", _("Runs"), "chart-line", "r", ("run_",)),
            Entry("evaluation_list", _("Evaluations"), "scale", "e", ("evaluation_",)),
            Entry("sweep_list", _("Sweeps"), "target", "h", ("sweep_",)),
            Entry("dataset_list", _("Datasets"), "database", "s", ("dataset_",)),
            Entry("config_list", _("Configurations"), "adjustments-horizontal", "c", ("config_",)),
            Entry("job_list", _("Jobs"), "bolt", "j", ("job_",)),
        ),
    ),
    (
        _("Serve"),
        (
            Entry("deployment_list", _("Deployments"), "rocket", "d", ("deployment_", "revision_")),
            Entry("route_list", _("Routes"), "arrows-split-2", "u", ("route_",)),
            Entry("batch_list", _("Batches"), "list-check", "b", ("batch_",)),
            Entry("playground", _("Playground"), "messages", "p", ("playground",)),
        ),
    ),
    (
        _("Operate"),
        (
            Entry("alert_list", _("Alerts"), "bell", "w", ("alert_",)),
            Entry("node_list", _("Nodes"), "server-2", "n", ("node_",), "pools.view_node"),
            Entry("pool_list", _("Pools"), "stack-2", "l", ("pool_",)),
            Entry("store_overview", _("Storage"), "box", "", ("store_",), "storage.view_store"),
        ),
    ),
    (
        _("Administer"),
        (
            Entry("people", _("People and teams"), "users", "", ("people", "person_", "team_")),
            Entry("token_list", _("API tokens"), "key", "", ("token_",)),
            Entry("audit_list", _("Audit log"), "history", "", ("audit_",)),
        ),
    ),
)


def url_or_none(name: str, *args: Any) -> str | None:
    """The address of a page, or None while that page does not exist."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return None


def _allowed(entry: Entry, request: HttpRequest) -> bool:
    user: Any = getattr(request, "user", None)
    return not entry.permission or (user is not None and bool(user.has_perm(entry.permission)))


def place_of(request: HttpRequest) -> Place:
    """The place of the page that is being answered."""
    match = request.resolver_match
    return Place(request.path, (match.url_name or "") if match else "")


def place_at(path: str) -> Place:
    """The place at an address of the console that somebody claims; nowhere if it is none."""
    try:
        return Place(path, resolve(path).url_name or "")
    except Resolver404:
        return Place()


def _current(entry: Entry, href: str, place: Place) -> str:
    if not place.path:
        return ""
    if place.path == href:
        return "page"
    inside = place.name.startswith(entry.prefixes or ("\0",))
    below = href != "/" and place.path.startswith(href)
    return "true" if inside or below else ""


def navigation(
    request: HttpRequest,
    counts: dict[str, dict[str, Any]] | None = None,
    place: Place | None = None,
) -> list[dict[str, Any]]:
    """Groups with the entries that exist now; `counts` maps a URL name to {value, tone, hint}.

    `place` is where the reader is, when that is not the page that `request` asks for.
    """
    place = place_of(request) if place is None else place
    groups = []
    for heading, entries in GROUPS:
        items = []
        for entry in entries:
            href = url_or_none(entry.name)
            if href is None or not _allowed(entry, request):
                continue
            items.append(
                {
                    "name": entry.name,
                    "href": href,
                    "label": entry.label,
                    "icon": entry.icon,
                    "key": entry.key,
                    "current": _current(entry, href, place),
                    "count": (counts or {}).get(entry.name),
                }
            )
        if items:
            groups.append({"label": heading, "entries": items})
    return groups
