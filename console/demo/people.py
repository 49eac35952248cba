"""The two people of the demonstration: one builds and asks, the other approves."""

from dataclasses import dataclass

from django.db import transaction

from console.access.models import ApiToken, Team, User
from console.access.roles import Role, Scope
from console.access.services import (
    membership_set,
    password_reset,
    team_create,
    token_create,
    token_revoke,
    user_create,
)
from models_app.core.actor import SYSTEM

TEAM = "demo"
TOKEN = "demonstration"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who takes part: the token for this run, the password to sign in with."""

    user: User
    token: str
    password: str


@transaction.atomic
def cast() -> tuple[Team, Person, Person]:
    """The team, the builder and the approver; made at the first run, kept afterwards.

    Each run gives fresh one-time passwords and tokens; those of earlier runs end.
    """
    team = Team.objects.filter(slug=TEAM).first()
    if team is None:
        team = team_create(actor=SYSTEM, slug=TEAM, title="Demonstration")
    builder = _person(team, "ana@demo.slipway", "Ana Builder", Role.DEVELOPER)
    approver = _person(team, "ben@demo.slipway", "Ben Approver", Role.APPROVER)
    return team, builder, approver


def _person(team: Team, email: str, name: str, role: Role) -> Person:
    user = User.objects.filter(email=email).first()
    if user is None:
        user, password = user_create(actor=SYSTEM, email=email, name=name)
    elif user.must_change_password:
        password = password_reset(actor=SYSTEM, user=user)
    else:
        password = "(the one that was chosen)"
    membership_set(actor=SYSTEM, team=team, user=user, role=role)
    for token in ApiToken.objects.filter(user=user, name=TOKEN, revoked_at=None):
        token_revoke(actor=user, token=token)
    scopes = [Scope.READ, Scope.INFER, Scope.WRITE, Scope.DEPLOY, Scope.APPROVE]
    _, secret = token_create(actor=user, name=TOKEN, scopes=scopes, team=team, expires_in_days=1)
    return Person(user=user, token=secret, password=password)
