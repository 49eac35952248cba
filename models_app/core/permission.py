"""The gate at the top of every service: outsiders get 404, insiders without the role 403."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import NotFound, PermissionDenied


def can_see(actor: Actor, obj: Any) -> bool:
    """Whether `obj` (a team, or anything with `team_id`) belongs to a team the actor may see."""
    teams = actor.visible_team_ids()
    return teams is None or team_id_of(obj) in teams


def require(actor: Actor, perm: str, obj: Any = None) -> None:
    """Raise NotFound if the actor may not see `obj`, PermissionDenied if it lacks `perm` on it."""
    if obj is not None and not can_see(actor, obj):
        raise NotFound
    if not actor.has_perm(perm, obj):
        said = _("You need the permission %(perm)s for this. Ask an admin of the team.")
        raise PermissionDenied(said % {"perm": perm}, permission=perm)


def team_id_of(obj: Any) -> int | None:
    """The id of the team that owns `obj`; a team owns itself."""
    if obj._meta.label == "access.Team":
        return int(obj.pk)
    team_id = getattr(obj, "team_id", None)
    return None if team_id is None else int(team_id)
