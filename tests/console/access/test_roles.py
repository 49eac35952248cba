"""Every permission against every role, inside and outside the team, and every token scope."""

import itertools

import pytest

from console.access.models import User
from console.access.roles import GRANTS, PERSONAL, PLATFORM, Role, Scope
from models_app.core.errors import NotFound, PermissionDenied
from models_app.core.permission import require
from tests.factories.access import ApiTokenFactory, MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(team, other_team) -> dict[Role, User]:
    """One person with each role in the team; each is also admin of the other team."""
    found = {}
    for role in Role:
        user = UserFactory()
        MembershipFactory(user=user, team=team, role=role)
        MembershipFactory(user=user, team=other_team, role=Role.ADMIN)
        found[role] = user
    return found


def outcome(actor, perm, obj) -> str:
    try:
        require(actor, perm, obj)
    except NotFound:
        return "hidden"
    except PermissionDenied:
        return "denied"
    return "allowed"


def test_roles_decide_inside_the_team(people, team):
    answers = {(p, r): outcome(people[r], p, team) for p, r in itertools.product(GRANTS, Role)}
    wanted = {
        (perm, role): "allowed" if role in GRANTS[perm][0] else "denied"
        for perm, role in itertools.product(GRANTS, Role)
    }
    assert answers == wanted


def test_outsiders_see_nothing_whatever_their_role_elsewhere(cai, team):
    assert {outcome(cai, perm, team) for perm in GRANTS} == {"hidden"}


def test_platform_admins_may_do_everything(root, team):
    assert {outcome(root, perm, team) for perm in GRANTS} == {"allowed"}
    assert {outcome(root, perm, None) for perm in PLATFORM} == {"allowed"}


def test_nobody_else_may_do_what_is_above_teams(people):
    answers = {outcome(user, perm, None) for user in people.values() for perm in PLATFORM}
    assert answers == {"denied"}


def test_what_is_personal_needs_no_role(people, cai):
    assert {outcome(user, perm, None) for user in [*people.values(), cai] for perm in PERSONAL} == {
        "allowed"
    }


def test_unknown_permissions_are_denied_to_all(root, ana, team):
    assert not root.has_perm("jobs.fly_job", team)
    assert not ana.has_perm("jobs.fly_job", team)


def test_deactivated_people_may_do_nothing(root, team):
    root.is_active = False
    root.save()
    assert not any(root.has_perm(perm, team) for perm in [*GRANTS, *PLATFORM, *PERSONAL])


class TestTokens:
    """A token narrows what its owner may do, and never widens it."""

    def test_each_permission_needs_its_scope(self, ana, root, team):
        for user in (ana, root):
            for scope in Scope:
                user.auth_token = ApiTokenFactory(user=user, scopes=[scope])
                allowed = {perm for perm in GRANTS if user.has_perm(perm, team)}
                wanted = {
                    perm
                    for perm, (roles, needed) in GRANTS.items()
                    if needed == scope and (user.is_admin or Role.ADMIN in roles)
                }
                assert allowed == wanted

    def test_scopes_do_not_replace_roles(self, eve, team):
        eve.auth_token = ApiTokenFactory(user=eve)
        assert not eve.has_perm("jobs.submit_job", team)
        assert eve.has_perm("jobs.view_job", team)

    def test_a_token_of_one_team_does_not_reach_another(self, root, team, other_team):
        root.auth_token = ApiTokenFactory(user=root, team=team)
        assert {outcome(root, perm, team) for perm in GRANTS} == {"allowed"}
        assert {outcome(root, perm, other_team) for perm in GRANTS} == {"hidden"}
        assert {outcome(root, perm, None) for perm in PLATFORM} == {"denied"}

    def test_a_token_of_a_team_that_was_left_is_worthless(self, ben, team):
        token = ApiTokenFactory(user=ben, team=team)
        ben.memberships.all().delete()
        fresh = User.objects.get(pk=ben.pk)
        fresh.auth_token = token
        assert {outcome(fresh, perm, team) for perm in GRANTS} == {"hidden"}
