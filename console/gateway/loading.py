"""What the gateway reads from the database, in a thread of its own."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from console.access.models import ApiToken, Membership, User
from console.access.roles import GRANTS, Scope
from console.access.tokens import tokens_mark_used
from console.gateway.keys import Asked, Key
from models_app.deployments.route_table import route_table
from models_app.routing.table import routing_table

Rows = list[dict[str, Any]]
_ROLES = GRANTS["deployments.infer_deployment"][0]


def load_tables(
    asked: Sequence[Asked], known: Collection[int]
) -> tuple[Rows, Rows, dict[str, Key]]:
    """The deployments, the routes to them, and the keys of `asked` that are still good. Revisions
    of routes that are `known` come without their contents.
    """
    try:
        return list(route_table()), routing_table(known), _keys(asked)
    finally:
        connection.close()


def load_keys(asked: Sequence[Asked]) -> dict[str, Key]:
    """digest -> key, of those that are good now."""
    try:
        return _keys(asked)
    finally:
        connection.close()


def mark_used(token_ids: Iterable[int]) -> None:
    """Note that these tokens were used."""
    try:
        tokens_mark_used(token_ids)
    finally:
        connection.close()


def _keys(asked: Sequence[Asked]) -> dict[str, Key]:
    tokens = _tokens([item.digest for item in asked if item.claim is None])
    claims = [(item.digest, item.claim) for item in asked if item.claim is not None]
    people = _people({claim.user_id for _, claim in claims})
    roles = _teams({t.user_id for t in tokens} | set(people))
    found = {token.digest: _token_key(token, roles) for token in tokens}
    for digest, claim in claims:
        user = people.get(claim.user_id)
        if user is not None and claim.fits(user):
            found[digest] = _page_key(user, claim.expires_at, roles)
    return found


def _tokens(digests: list[str]) -> list[ApiToken]:
    if not digests:
        return []
    alive = Q(expires_at=None) | Q(expires_at__gt=Now())
    usable = ApiToken.objects.filter(alive, revoked_at=None, user__is_active=True)
    return list(usable.filter(digest__in=digests).select_related("user"))


def _people(user_ids: set[int]) -> dict[int, User]:
    if not user_ids:
        return {}
    return User.objects.filter(is_active=True).in_bulk(user_ids)


def _teams(user_ids: set[int]) -> dict[int, set[int]]:
    """user -> teams in which a role lets them ask."""
    found: dict[int, set[int]] = {user_id: set() for user_id in user_ids}
    if user_ids:
        rows = Membership.objects.filter(user_id__in=user_ids, role__in=_ROLES)
        for user_id, team_id in rows.values_list("user_id", "team_id"):
            found[user_id].add(team_id)
    return found


def _token_key(token: ApiToken, roles: dict[int, set[int]]) -> Key:
    own = roles[token.user_id]
    teams: frozenset[int] | None = frozenset(own)
    if token.team_id is not None:
        may = token.user.is_admin or token.team_id in own
        teams = frozenset([token.team_id]) if may else frozenset()
    elif token.user.is_admin:
        teams = None
    return Key(
        user_id=token.user_id,
        prefix=token.prefix,
        scopes=frozenset(token.scopes),
        teams=teams,
        expires_at=token.expires_at.timestamp() if token.expires_at else float("inf"),
        token_id=token.pk,
        tenant=str(token.team_id) if token.team_id is not None else _tenant(token.user_id, own),
        email=token.user.email,
        name=token.name,
    )


def _page_key(user: User, expires_at: float, roles: dict[int, set[int]]) -> Key:
    return Key(
        user_id=user.pk,
        prefix="playground",
        scopes=frozenset([Scope.INFER]),
        teams=None if user.is_admin else frozenset(roles[user.pk]),
        expires_at=expires_at,
        tenant=_tenant(user.pk, roles[user.pk]),
        email=user.email,
    )


def _tenant(user_id: int, teams: set[int]) -> str:
    """The only team of a person; who has several is alone, since nothing says for which he asks."""
    return str(next(iter(teams))) if len(teams) == 1 else f"u{user_id}"
