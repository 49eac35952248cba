"""What the shell of a page needs: navigation with counts, palette entries, script strings."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from console.pages.navigation import navigation, url_or_none
from console.pages.strings import script_strings

#: Counts what waits or runs for a user: {"value": 3, "tone": "violet", "hint": "waiting for you"}.
Count = Callable[[Any], dict[str, Any]]
COUNTS: dict[str, Count] = {}


def nav_count(name: str) -> Callable[[Count], Count]:
    """Register the count beside a navigation entry, e.g. `@nav_count("job_list")`."""

    def register(function: Count) -> Count:
        COUNTS[name] = function
        return function

    return register


def _counts(request: HttpRequest) -> dict[str, dict[str, Any]]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {name: count(user) for name, count in COUNTS.items()}


def _palette(groups: list[dict[str, Any]]) -> list[dict[str, str]]:
    where = _("Go to")
    entries = [
        {"group": where, "label": str(item["label"]), "href": item["href"], "icon": item["icon"]}
        for group in groups
        for item in group["entries"]
    ]
    commands = [
        ("job_new", _("New job"), "plus"),
        ("dataset_new", _("New dataset"), "plus"),
        ("model_new", _("New model"), "plus"),
        ("deployment_new", _("New deployment"), "plus"),
        ("token_new", _("New API token"), "key"),
        ("account", _("Profile and security"), "user"),
    ]
    for name, label, icon in commands:
        href = url_or_none(name)
        if href:
            entries.append({"group": _("Commands"), "label": label, "href": href, "icon": icon})
    return entries


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor of all pages; templates call the functions, so fragments pay nothing."""

    @cache
    def groups() -> list[dict[str, Any]]:
        return navigation(request, _counts(request))

    return {
        "nav_groups": groups,
        "palette_entries": lambda: _palette(groups()),
        "script_strings": script_strings,
        "shell_languages": settings.LANGUAGES,
    }
