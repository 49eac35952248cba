"""The one place that answers `user.has_perm("app.verb_noun", obj)`: deny unless a role grants."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from console.access.models import ApiToken, User
from console.access.roles import GRANTS, PERSONAL, PLATFORM, Scope
from models_app.core.permission import team_id_of


class RoleBackend(BaseBackend):
    """Signs people in by email and password; permissions follow from roles and token scopes."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", **kwargs: Any
    ) -> User | None:
        user = User.objects.filter(email__iexact=username or kwargs.get("email", "")).first()
        if user is None:
            make_password(password)  # the same work for unknown people, so that time tells nothing
            return None
        return user if user.check_password(password) and user.is_active else None

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if not isinstance(user_obj, User) or not user_obj.is_active:
            return False
        if perm in PERSONAL:
            return _scope_lets(user_obj.auth_token, PERSONAL[perm])
        if perm in PLATFORM:
            return user_obj.is_admin and _platform_lets(user_obj.auth_token, PLATFORM[perm])
        if perm not in GRANTS:
            return False
        roles, scope = GRANTS[perm]
        return _scope_lets(user_obj.auth_token, scope) and _role_grants(user_obj, roles, obj)


def _scope_lets(token: ApiToken | None, scope: Scope) -> bool:
    return token is None or scope in token.scopes


def _platform_lets(token: ApiToken | None, scope: Scope) -> bool:
    """A token that is bound to one team does not reach what is above all teams."""
    return token is None or (token.team_id is None and scope in token.scopes)


def _role_grants(user: User, roles: set[Any], obj: Any) -> bool:
    if obj is None:
        return user.is_admin or any(role in roles for role in user.roles().values())
    team_id = team_id_of(obj)
    visible = user.visible_team_ids()
    if visible is not None and team_id not in visible:
        return False
    return user.is_admin or (team_id is not None and user.roles().get(team_id) in roles)
