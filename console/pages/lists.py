"""What the lists of things that belong to teams share: pages, menus that filter, what they hear."""

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.teams import team_rows

PER_PAGE = 25
#: More than these are neither offered in a menu nor listened to.
MOST_TEAMS, MOST_TOPICS = 200, 50
#: Name in the address, what it says while nothing is chosen, and (value, label) of each choice.
Menu = tuple[str, Any, Sequence[tuple[Any, Any]]]


def page_of(request: HttpRequest, rows: Any) -> Page[Any]:
    """The page that the address asks for, or the nearest there is."""
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))


def teams_seen(actor: Actor) -> list[Any]:
    """Teams whose things the reader may see."""
    return list(team_rows(actor)[:MOST_TEAMS])


def team_menu(teams: Sequence[Any]) -> Menu:
    """To see one team's things only."""
    return "team", _("Any team"), [(team.slug, str(team)) for team in teams]


def list_context(
    request: HttpRequest, page: Page[Any], teams: Sequence[Any], menus: Sequence[Menu]
) -> dict[str, Any]:
    """`page`, `filters` with what the address chooses of each menu, and `topics`."""
    return {
        "page": page,
        "filters": [
            {"name": name, "label": label, "value": request.GET.get(name, ""), "options": options}
            for name, label, options in menus
        ],
        "topics": " ".join(f"team.{team.pk}" for team in teams[:MOST_TOPICS]),
    }
