"""API tokens: made, replaced and revoked by their owner. The secret is shown once."""

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from console.access.models import ApiToken, Team, User
from console.access.roles import Scope
from console.access.services.effects import access_changed
from console.access.tokens import token_secret
from models_app.audit.services import audit_record
from models_app.core.clock import now
from models_app.core.errors import FieldError, NotFound, PermissionDenied, WrongState
from models_app.core.names import clean_title
from models_app.core.permission import can_see, require
from models_app.core.teams import not_in_team

LONGEST_DAYS = 365
GRACE_MINUTES = 60
LONGEST_GRACE_MINUTES = 7 * 24 * 60


@transaction.atomic
def token_create(
    *,
    actor: User,
    name: str,
    scopes: Sequence[str],
    team: Team | None = None,
    expires_in_days: int | None = None,
) -> tuple[ApiToken, str]:
    """A new token of the actor's own: (token, secret). Only a digest of the secret is kept.

    Without `expires_in_days` it does not expire. A token can make only tokens that may do less.
    """
    require(actor, "access.add_token")
    if team is not None and not can_see(actor, team):
        raise FieldError("team", not_in_team(team.slug))
    expires_at = None
    if expires_in_days is not None:
        if not 1 <= expires_in_days <= LONGEST_DAYS:
            said = _("Use 1 to %(most)s days.") % {"most": LONGEST_DAYS}
            raise FieldError("expires_in_days", said)
        expires_at = now() + dt.timedelta(days=expires_in_days)
    scopes = _clean_scopes(scopes)
    _not_more_than(actor.auth_token, scopes, team, expires_at)
    token, secret = _insert(actor, clean_title(name, "name", 120), scopes, team, expires_at)
    changes = {
        "scopes": scopes,
        "team": team.slug if team else None,
        "expires_at": expires_at.isoformat() if expires_at else None,
        "prefix": token.prefix,
    }
    audit_record(actor=actor, action="token.created", obj=token, changes=changes)
    access_changed(actor)
    return token, secret


@transaction.atomic
def token_revoke(*, actor: User, token: ApiToken) -> ApiToken:
    """Stop a token at once: one's own, or as platform admin anybody's."""
    token = _locked(actor, token)
    if token.revoked_at is not None:
        raise WrongState(_("This token is revoked already."))
    token.revoked_at = now()
    token.save(update_fields=["revoked_at"])
    audit_record(
        actor=actor, action="token.revoked", obj=token, changes={"owner": token.user.email}
    )
    access_changed(token.user)
    return token


@transaction.atomic
def token_rotate(
    *, actor: User, token: ApiToken, grace_minutes: int = GRACE_MINUTES
) -> tuple[ApiToken, str]:
    """A new token like this one: (new token, secret). The old one works on for the grace time."""
    require(actor, "access.add_token")
    if not 0 <= grace_minutes <= LONGEST_GRACE_MINUTES:
        said = _("Use 0 to %(most)s minutes.") % {"most": LONGEST_GRACE_MINUTES}
        raise FieldError("grace_minutes", said)
    old = _locked(actor, token)
    if old.user_id != actor.pk:
        raise PermissionDenied(_("Only its owner can replace a token. You can revoke it."))
    if not old.usable():
        raise WrongState(_("This token is revoked or expired. Make a new one."))
    expires_at = now() + (old.expires_at - old.created_at) if old.expires_at else None
    _not_more_than(actor.auth_token, old.scopes, old.team, expires_at)
    fresh, secret = _insert(actor, old.name, old.scopes, old.team, expires_at)
    ends = now() + dt.timedelta(minutes=grace_minutes)
    old.expires_at = min(ends, old.expires_at) if old.expires_at else ends
    old.save(update_fields=["expires_at"])
    changes = {
        "prefix": {"from": old.prefix, "to": fresh.prefix},
        "old_works_until": old.expires_at.isoformat(),
    }
    audit_record(actor=actor, action="token.rotated", obj=fresh, changes=changes)
    access_changed(actor)
    return fresh, secret


def _insert(
    user: User, name: str, scopes: list[str], team: Team | None, expires_at: dt.datetime | None
) -> tuple[ApiToken, str]:
    secret, prefix, digest = token_secret()
    token = ApiToken.objects.create(
        user=user, name=name, scopes=scopes, team=team, expires_at=expires_at,
        prefix=prefix, digest=digest,
    )  # fmt: skip
    return token, secret


def _locked(actor: User, token: ApiToken) -> ApiToken:
    """The row, locked. NotFound unless it is the actor's own or the actor manages people."""
    require(actor, "access.revoke_token")
    row = ApiToken.objects.select_for_update(of=["self"]).select_related("user", "team")
    found = row.filter(pk=token.pk).first()
    narrow = actor.auth_token.team_id if actor.auth_token else None
    own = found is not None and found.user_id == actor.pk
    if found is None or (narrow is not None and found.team_id != narrow):
        raise NotFound(_("There is no such token."))
    if not own and not actor.has_perm("access.change_user"):
        raise NotFound(_("There is no such token."))
    return found


def _clean_scopes(scopes: Sequence[str]) -> list[str]:
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown:
        known = ", ".join(Scope.values)
        said = _("There is no scope %(name)r. Known: %(known)s.")
        raise FieldError("scopes", said % {"name": unknown[0], "known": known})
    if not scopes:
        raise FieldError("scopes", _("Choose at least one scope."))
    return [scope for scope in Scope.values if scope in scopes]


def _not_more_than(
    parent: ApiToken | None,
    scopes: Sequence[str],
    team: Team | None,
    expires_at: dt.datetime | None,
) -> None:
    """What a token makes may not reach further or live longer than the token itself."""
    if parent is None:
        return
    if not set(scopes) <= set(parent.scopes):
        raise FieldError("scopes", _("A token cannot give scopes that it does not have itself."))
    if parent.team_id is not None and (team is None or team.pk != parent.team_id):
        said = _("This token is bound to one team, so the new one must be as well.")
        raise FieldError("team", said)
    if parent.expires_at and (expires_at is None or expires_at > parent.expires_at):
        said = _("A token cannot make one that lives longer than itself.")
        raise FieldError("expires_in_days", said)
