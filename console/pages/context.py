"""What the shell of a page needs: navigation with counts, palette entries, script strings."""

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from console.pages.navigation import Place, navigation, place_of, url_or_none
from console.pages.strings import script_strings

#: Counts what waits or runs for a user: {"value": 3, "tone": "violet", "hint": "waiting for you"}.
Count = Callable[[Any], dict[str, Any]]
COUNTS: dict[str, Count] = {}
#: Live events after which the side bar is fetched again: who may see what, and what counts ask for.
EVENTS = {"access.changed"}
#: Of so many teams at most are counts kept current by events; of more, by the regular poll. A
#: socket carries 64 topics, and the page needs some for itself.
TEAMS_HEARD = 40


def nav_count(name: str, *events: str) -> Callable[[Count], Count]:
    """Register the count beside a navigation entry, and the live events that may change it:
    `@nav_count("job_list", "job.changed")`.
    """

    def register(function: Count) -> Count:
        COUNTS[name] = function
        EVENTS.update(events)
        return function

    return register


def side_bar(request: HttpRequest, place: Place) -> dict[str, Any]:
    """What the side bar shows to somebody who reads the page at `place`."""
    return {
        "nav_groups": navigation(request, _counts(request), place),
        "nav_live": _live(request, place),
    }


def _live(request: HttpRequest, place: Place) -> dict[str, str] | None:
    """How the entries stay current: what they listen to, and where they come from."""
    user: Any = getattr(request, "user", None)
    url = url_or_none("side_bar")
    if url is None or user is None or not user.is_authenticated:
        return None
    teams = user.visible_team_ids()
    heard = ["all"] if teams is None else [f"team.{pk}" for pk in sorted(teams)[:TEAMS_HEARD]]
    return {
        "topics": " ".join([f"user.{user.pk}", *heard]),
        "events": " ".join(sorted(EVENTS)),
        "url": f"{url}?{urlencode({'path': place.path})}",
    }


def _counts(request: HttpRequest) -> dict[str, dict[str, Any]]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {name: count(user) for name, count in COUNTS.items()}


def _palette(groups: list[dict[str, Any]], user: Any) -> list[dict[str, str]]:
    where = _("Go to")
    entries = [
        {"group": where, "label": str(item["label"]), "href": item["href"], "icon": item["icon"]}
        for group in groups
        for item in group["entries"]
    ]
    commands = [
        ("job_new", _("New job"), "plus", ""),
        ("dataset_new", _("New dataset"), "plus", ""),
        ("model_new", _("New model"), "plus", ""),
        ("deployment_new", _("New deployment"), "plus", ""),
        ("route_new", _("New route"), "plus", ""),
        ("node_join_tokens", _("Add a node"), "plus", "pools.manage_node"),
        ("pool_new", _("New pool"), "plus", "pools.manage_pool"),
        ("token_new", _("New API token"), "key", ""),
        ("account", _("Profile and security"), "user", ""),
    ]
    for name, label, icon, permission in commands:
        href = url_or_none(name)
        if href and (not permission or user.has_perm(permission)):
            entries.append({"group": _("Commands"), "label": label, "href": href, "icon": icon})
    return entries


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor of all pages; templates call the functions, so fragments pay nothing."""

    @cache
    def bar() -> dict[str, Any]:
        return side_bar(request, place_of(request))

    return {
        "nav_groups": lambda: bar()["nav_groups"],
        "nav_live": lambda: bar()["nav_live"],
        "palette_entries": lambda: _palette(bar()["nav_groups"], request.user),
        "script_strings": script_strings,
        "shell_languages": settings.LANGUAGES,
    }
