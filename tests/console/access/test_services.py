"""People, teams, memberships and tokens: what each service does, refuses and records."""

import datetime as dt

import pytest

from console.access import services
from console.access.models import ApiToken, Membership, Team, User
from console.access.tokens import token_find
from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import (
    FieldError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    WrongState,
)
from tests.factories.access import (
    PASSWORD,
    ApiTokenFactory,
    MembershipFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
NEW = "another fine pass phrase"


def _token(user):
    return ApiTokenFactory(user=user)


def _inactive():
    return UserFactory(is_active=False)


#: service -> (how it is called with the cast, the action it records). Every service is here.
CALLS = {
    "user_create": (
        lambda c: services.user_create(actor=c.root, email="New@Example.com", name="New"),
        "user.created",
    ),
    "user_update": (
        lambda c: services.user_update(actor=c.ana, user=c.ana, name="Ana Maria"),
        "user.updated",
    ),
    "user_deactivate": (
        lambda c: services.user_deactivate(actor=c.root, user=c.ben),
        "user.deactivated",
    ),
    "user_activate": (
        lambda c: services.user_activate(actor=c.root, user=_inactive()),
        "user.activated",
    ),
    "password_change": (
        lambda c: services.password_change(actor=c.ana, user=c.ana, old=PASSWORD, new=NEW),
        "user.password_changed",
    ),
    "password_reset": (
        lambda c: services.password_reset(actor=c.root, user=c.ana),
        "user.password_reset",
    ),
    "sessions_end": (
        lambda c: services.sessions_end(actor=c.ana, user=c.ana),
        "user.signed_out_everywhere",
    ),
    "user_signed_in": (lambda c: services.user_signed_in(user=c.ana), "user.signed_in"),
    "team_create": (
        lambda c: services.team_create(actor=c.root, slug="vision", admin=c.ben),
        "team.created",
    ),
    "team_rename": (
        lambda c: services.team_rename(actor=c.ana, team=c.team, title="R and D"),
        "team.renamed",
    ),
    "membership_set": (
        lambda c: services.membership_set(actor=c.ana, team=c.team, user=c.cai, role="viewer"),
        "membership.added",
    ),
    "membership_remove": (
        lambda c: services.membership_remove(actor=c.ana, team=c.team, user=c.ben),
        "membership.removed",
    ),
    "token_create": (
        lambda c: services.token_create(actor=c.ana, name="ci", scopes=["read"]),
        "token.created",
    ),
    "token_revoke": (
        lambda c: services.token_revoke(actor=c.ana, token=_token(c.ana)),
        "token.revoked",
    ),
    "token_rotate": (
        lambda c: services.token_rotate(actor=c.ana, token=_token(c.ana)),
        "token.rotated",
    ),
}


@pytest.fixture
def cast(ana, ben, cai, root, team):
    """Everybody by name."""

    class Cast:
        pass

    found = Cast()
    found.ana, found.ben, found.cai, found.root, found.team = ana, ben, cai, root, team
    return found


def test_the_table_names_every_service():
    assert set(CALLS) == set(services.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_every_service_records_one_event_without_secrets(name, cast):
    call, action = CALLS[name]
    result = call(cast)
    event = AuditEvent.objects.get()
    assert event.action == action
    secrets = [part for part in _flat(result) if isinstance(part, str) and part]
    for secret in [*secrets, PASSWORD, NEW]:
        assert secret not in str(event.changes)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"user_signed_in"}))
def test_every_service_tells_the_gateway_after_commit(
    name, cast, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as callbacks:
        CALLS[name][0](cast)
    assert len(callbacks) == 1


def _flat(value):
    return value if isinstance(value, tuple) else (value,)


class TestPeople:
    def test_a_new_person_must_change_the_one_time_password(self, root):
        user, secret = services.user_create(actor=root, email=" New@Example.com", name="New")
        assert user.email == "new@example.com"
        assert user.must_change_password
        assert user.check_password(secret)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"email": "ANA@example.com"}, "email"),
            ({"email": "nonsense"}, "email"),
            ({"name": " "}, "name"),
            ({"name": "a\x00b"}, "name"),
        ],
    )
    def test_bad_input_names_the_field(self, root, ana, fields, field):
        with pytest.raises(InvalidInput) as caught:
            services.user_create(actor=root, **{"email": "x@example.com", "name": "X", **fields})
        assert list(caught.value.errors) == [field]

    def test_only_platform_admins_manage_people(self, ana, ben):
        for call in (
            lambda: services.user_create(actor=ana, email="x@example.com", name="X"),
            lambda: services.user_update(actor=ana, user=ben, name="X"),
            lambda: services.user_update(actor=ana, user=ana, is_admin=True),
            lambda: services.user_deactivate(actor=ana, user=ben),
            lambda: services.user_activate(actor=ana, user=ben),
            lambda: services.password_reset(actor=ana, user=ben),
            lambda: services.sessions_end(actor=ana, user=ben),
            lambda: services.team_create(actor=ana, slug="mine"),
        ):
            with pytest.raises(PermissionDenied):
                call()
        assert not AuditEvent.objects.exists()

    def test_the_last_platform_admin_stays(self, root):
        with pytest.raises(FieldError, match="last platform admin"):
            services.user_update(actor=root, user=root, is_admin=False)
        with pytest.raises(PermissionDenied):
            services.user_deactivate(actor=root, user=root)
        second = UserFactory(is_admin=True)
        services.user_update(actor=root, user=second, is_admin=False)

    def test_deactivation_stops_tokens_and_sessions_for_good(self, root, ben, client_for):
        client = client_for(ben)
        token = ApiTokenFactory(user=ben)
        services.user_deactivate(actor=root, user=ben)
        assert client.get("/account/").status_code == 302
        assert token_find(token.secret) is None
        services.user_activate(actor=root, user=ben)
        assert client.get("/account/").status_code == 302
        assert token_find(token.secret).user == ben

    def test_twice_is_refused(self, root, ben):
        with pytest.raises(WrongState):
            services.user_activate(actor=root, user=ben)
        services.user_deactivate(actor=root, user=ben)
        with pytest.raises(WrongState):
            services.user_deactivate(actor=root, user=ben)

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            ("wrong", NEW, "old_password"),
            (PASSWORD, PASSWORD, "new_password"),
            (PASSWORD, "short", "new_password"),
            (PASSWORD, "ana@example.com", "new_password"),
            (PASSWORD, "password1234", "new_password"),
        ],
    )
    def test_a_bad_new_password_is_refused(self, ana, old, new, field):
        with pytest.raises(FieldError) as caught:
            services.password_change(actor=ana, user=ana, old=old, new=new)
        assert caught.value.field == field
        ana.refresh_from_db()
        assert ana.check_password(PASSWORD)

    def test_nobody_changes_the_password_of_another(self, root, ana):
        with pytest.raises(PermissionDenied):
            services.password_change(actor=root, user=ana, old=PASSWORD, new=NEW)
        with pytest.raises(PermissionDenied):
            services.password_reset(actor=root, user=root)


class TestTeams:
    def test_a_team_keeps_its_last_admin(self, ana, ben, team):
        with pytest.raises(FieldError, match="last admin"):
            services.membership_set(actor=ana, team=team, user=ana, role="viewer")
        with pytest.raises(FieldError, match="last admin"):
            services.membership_remove(actor=ana, team=team, user=ana)
        services.membership_set(actor=ana, team=team, user=ben, role="admin")
        services.membership_remove(actor=ana, team=team, user=ana)

    def test_an_inactive_admin_does_not_count(self, ana, team):
        MembershipFactory(user=_inactive(), team=team, role="admin")
        with pytest.raises(FieldError, match="last admin"):
            services.membership_remove(actor=ana, team=team, user=ana)

    def test_a_platform_admin_may_take_the_last_one_out(self, root, ana, team):
        services.membership_remove(actor=root, team=team, user=ana)
        assert not Membership.objects.filter(team=team, role="admin").exists()

    @pytest.mark.parametrize("role", ["developer", "approver", "viewer"])
    def test_only_admins_manage_members(self, role, team, cai):
        user = UserFactory()
        MembershipFactory(user=user, team=team, role=role)
        for call in (
            lambda: services.membership_set(actor=user, team=team, user=cai, role="admin"),
            lambda: services.membership_set(actor=user, team=team, user=user, role="admin"),
            lambda: services.membership_remove(actor=user, team=team, user=user),
            lambda: services.team_rename(actor=user, team=team, title="Mine"),
        ):
            with pytest.raises(PermissionDenied):
                call()

    def test_outsiders_do_not_learn_that_the_team_exists(self, cai, ana, team):
        for call in (
            lambda: services.membership_set(actor=cai, team=team, user=cai, role="admin"),
            lambda: services.membership_remove(actor=cai, team=team, user=ana),
            lambda: services.team_rename(actor=cai, team=team, title="Mine"),
        ):
            with pytest.raises(NotFound):
                call()

    def test_a_role_that_is_set_again_is_no_event(self, ana, ben, team):
        services.membership_set(actor=ana, team=team, user=ben, role="developer")
        assert not AuditEvent.objects.exists()

    def test_removal_takes_effect_at_once(self, ana, ben, team, client_for):
        client = client_for(ben)
        assert client.get(f"/teams/{team.slug}/").status_code == 200
        services.membership_remove(actor=ana, team=team, user=ben)
        assert client.get(f"/teams/{team.slug}/").status_code == 404

    def test_names_are_taken_once(self, root):
        services.team_create(actor=root, slug="vision")
        with pytest.raises(FieldError, match="already"):
            services.team_create(actor=root, slug="vision")
        assert Team.objects.count() == 1

    def test_unknown_roles_are_refused(self, ana, ben, team):
        with pytest.raises(FieldError, match="no role"):
            services.membership_set(actor=ana, team=team, user=ben, role="owner")


class TestTokens:
    def test_only_a_digest_is_kept(self, ana):
        token, secret = services.token_create(actor=ana, name="ci", scopes=["read"])
        row = ApiToken.objects.filter(pk=token.pk).values().get()
        assert secret.startswith("slip_")
        assert len(secret) >= 48
        assert secret not in str(row)
        assert token_find(secret) == token

    def test_an_expired_token_is_refused(self, ana):
        token = ApiTokenFactory(user=ana, expires_at=now() - dt.timedelta(seconds=1))
        assert token_find(token.secret) is None

    def test_a_revoked_token_is_refused_at_once(self, ana, api_for):
        token, secret = services.token_create(actor=ana, name="ci", scopes=["read"])
        services.token_revoke(actor=ana, token=token)
        assert token_find(secret) is None
        with pytest.raises(WrongState):
            services.token_revoke(actor=ana, token=token)

    def test_replacing_leaves_the_old_one_for_the_grace_time(self, ana, team):
        old, _secret = services.token_create(
            actor=ana, name="ci", scopes=["read", "write"], team=team, expires_in_days=30
        )
        fresh, secret = services.token_rotate(actor=ana, token=old, grace_minutes=10)
        old.refresh_from_db()
        assert old.usable()
        assert not old.usable(now() + dt.timedelta(minutes=11))
        assert (fresh.scopes, fresh.team, fresh.name) == (old.scopes, team, "ci")
        assert fresh.expires_at - now() > dt.timedelta(days=29)
        assert token_find(secret) == fresh

    def test_others_tokens_are_out_of_reach(self, ben, ana, root):
        token = ApiTokenFactory(user=ana)
        with pytest.raises(NotFound):
            services.token_revoke(actor=ben, token=token)
        with pytest.raises(NotFound):
            services.token_rotate(actor=ben, token=token)
        with pytest.raises(PermissionDenied):
            services.token_rotate(actor=root, token=token)
        services.token_revoke(actor=root, token=token)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"scopes": []}, "scopes"),
            ({"scopes": ["fly"]}, "scopes"),
            ({"expires_in_days": 0}, "expires_in_days"),
            ({"expires_in_days": 366}, "expires_in_days"),
            ({"name": ""}, "name"),
        ],
    )
    def test_bad_input_names_the_field(self, ana, fields, field):
        with pytest.raises(FieldError) as caught:
            services.token_create(actor=ana, **{"name": "x", "scopes": ["read"], **fields})
        assert caught.value.field == field

    def test_the_team_must_be_ones_own(self, cai, team):
        with pytest.raises(FieldError):
            services.token_create(actor=cai, name="x", scopes=["read"], team=team)

    def test_a_token_makes_only_lesser_tokens(self, root, team, other_team):
        soon = now() + dt.timedelta(days=2)
        root.auth_token = ApiTokenFactory(
            user=root, team=team, scopes=["admin", "read"], expires_at=soon
        )
        good = {"name": "x", "scopes": ["read"], "team": team, "expires_in_days": 1}
        services.token_create(actor=root, **good)
        for wrong in (
            {"scopes": ["write"]},
            {"team": None},
            {"team": other_team},
            {"expires_in_days": None},
            {"expires_in_days": 3},
        ):
            with pytest.raises(FieldError):
                services.token_create(actor=root, **{**good, **wrong})

    def test_making_tokens_needs_the_admin_scope(self, ana):
        ana.auth_token = ApiTokenFactory(user=ana, scopes=["read", "write", "deploy"])
        with pytest.raises(PermissionDenied):
            services.token_create(actor=ana, name="x", scopes=["read"])


def test_one_time_passwords_do_not_repeat(root):
    made = {
        services.user_create(actor=root, email=f"p{n}@example.com", name="P")[1] for n in range(5)
    }
    assert len(made) == 5
    assert User.objects.filter(must_change_password=True).count() == 5
