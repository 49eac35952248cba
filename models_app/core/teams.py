"""Teams as the domain sees them: found by name among those that the actor may see."""

from typing import Any

from django.apps import apps
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError


def team_rows(actor: Actor) -> Any:
    """The teams whose things the actor may see."""
    rows = apps.get_model("access.Team")._base_manager.order_by("slug")
    visible = actor.visible_team_ids()
    return rows if visible is None else rows.filter(pk__in=visible)


def team_named(actor: Actor, slug: str, field: str = "team") -> Any:
    """The actor's team of this name, or FieldError, whether it is missing or hidden."""
    team = team_rows(actor).filter(slug=slug).first()
    if team is None:
        raise FieldError(field, not_in_team(slug))
    return team


def not_in_team(slug: str) -> str:
    """Said of a team that is missing and of one that is hidden alike."""
    return _("You are in no team called %(name)r.") % {"name": slug}


def teams_where(actor: Actor, perm: str) -> list[Any]:
    """The teams in which the actor has a permission."""
    return [team for team in team_rows(actor) if actor.has_perm(perm, team)]
