"""Teams and who has which role in them."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from console.access.models import Membership, Team, User
from console.access.roles import Role
from console.access.services.effects import access_changed
from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, NotFound
from models_app.core.names import clean_slug, clean_title
from models_app.core.permission import require

#: Names that are part of the console's own addresses.
RESERVED = frozenset({"new"})


@transaction.atomic
def team_create(*, actor: Actor, slug: str, title: str = "", admin: User | None = None) -> Team:
    """A new team, with its first admin if one is named."""
    require(actor, "access.add_team")
    slug = clean_slug(slug, "slug")
    if slug in RESERVED:
        said = _("This name is used by the console itself. Choose another one.")
        raise FieldError("slug", said)
    title = clean_title(title, "title", 120) if title else slug
    try:
        with transaction.atomic():
            team = Team.objects.create(slug=slug, title=title)
    except IntegrityError:
        said = _("There is a team called %(name)s already.") % {"name": slug}
        raise FieldError("slug", said) from None
    changes = {"slug": slug, "title": title}
    if admin is not None:
        Membership.objects.create(team=team, user=admin, role=Role.ADMIN)
        changes["admin"] = admin.email
    audit_record(actor=actor, action="team.created", obj=team, changes=changes)
    access_changed(admin, team.pk)
    return team


@transaction.atomic
def team_rename(*, actor: Actor, team: Team, title: str) -> Team:
    """Change what the team is called; its name in addresses stays."""
    require(actor, "access.change_team", team)
    team = Team.objects.select_for_update().get(pk=team.pk)
    title = clean_title(title, "title", 120)
    if title == team.title:
        return team
    changes = {"title": {"from": team.title, "to": title}}
    team.title = title
    team.save(update_fields=["title"])
    audit_record(actor=actor, action="team.renamed", obj=team, changes=changes)
    access_changed(None, team.pk)
    return team


@transaction.atomic
def membership_set(*, actor: Actor, team: Team, user: User, role: str) -> Membership:
    """Put somebody into the team, or give them another role there."""
    if role not in Role.values:
        said = _("There is no role %(name)r. Known: %(known)s.")
        raise FieldError("role", said % {"name": role, "known": ", ".join(Role.values)})
    # The team's row is the lock of its member list.
    Team.objects.select_for_update().get(pk=team.pk)
    membership = Membership.objects.filter(team=team, user=user).first()
    changes: dict[str, Any]
    if membership is None:
        require(actor, "access.add_membership", team)
        membership = Membership.objects.create(team=team, user=user, role=role)
        action, changes = "membership.added", {"role": role}
    else:
        require(actor, "access.change_membership", team)
        if membership.role == role:
            return membership
        _keep_one_admin(actor, membership, "role")
        action, changes = "membership.changed", {"role": {"from": membership.role, "to": role}}
        membership.role = role
        membership.save(update_fields=["role"])
    audit_record(actor=actor, action=action, obj=membership, changes=changes)
    access_changed(user, team.pk)
    return membership


@transaction.atomic
def membership_remove(*, actor: Actor, team: Team, user: User) -> None:
    """Take somebody out of the team; they lose sight of its things at once."""
    require(actor, "access.delete_membership", team)
    Team.objects.select_for_update().get(pk=team.pk)
    membership = Membership.objects.filter(team=team, user=user).first()
    if membership is None:
        raise NotFound(_("%(email)s is not in this team.") % {"email": user.email})
    _keep_one_admin(actor, membership, "user")
    changes = {"role": membership.role}
    audit_record(actor=actor, action="membership.removed", obj=membership, changes=changes)
    membership.delete()
    access_changed(user, team.pk)


def _keep_one_admin(actor: Actor, membership: Membership, field: str) -> None:
    """A team keeps an admin, unless somebody who sees all teams decides otherwise."""
    if membership.role != Role.ADMIN or actor.visible_team_ids() is None:
        return
    others = Membership.objects.filter(
        team=membership.team_id, role=Role.ADMIN, user__is_active=True
    ).exclude(pk=membership.pk)
    if not others.exists():
        said = _("%(email)s is the last admin of the team. Name another one first.")
        raise FieldError(field, said % {"email": membership.user.email})
