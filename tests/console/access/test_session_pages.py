"""Sign-in, lock-out, forced and voluntary password change, account, language."""

import pytest
from django.test import Client

from models_app.audit.models import AuditEvent
from tests.factories.access import PASSWORD, UserFactory
from tests.matrix import assert_needs_sign_in

pytestmark = pytest.mark.django_db
NEW = "another fine pass phrase"
WRONG = "Email or password is not right"


def sign_in(client: Client, email: str, password: str = PASSWORD, **more):
    return client.post("/login/", {"username": email, "password": password, **more})


class TestSignIn:
    def test_leads_to_where_one_wanted_to_go(self, ana, client):
        answer = sign_in(client, "ANA@example.com", next="/tokens/")
        assert answer.status_code == 302
        assert answer["Location"] == "/tokens/"
        assert client.get("/tokens/").status_code == 200
        assert AuditEvent.objects.get().action == "user.signed_in"

    @pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "javascript:1"])
    def test_never_leads_out_of_the_console(self, ana, client, evil):
        assert sign_in(client, ana.email, next=evil)["Location"] == "/"

    def test_says_the_same_whatever_was_wrong(self, ana, client):
        UserFactory(email="off@example.com", is_active=False)
        pages = [
            sign_in(client, "ana@example.com", "wrong"),
            sign_in(client, "nobody@example.com", "wrong"),
            sign_in(client, "off@example.com"),
        ]
        for page in pages:
            assert page.status_code == 200
            assert WRONG in page.content.decode()
        assert not AuditEvent.objects.exists()

    def test_strange_input_is_no_error_of_ours(self, client):
        for email in ("a\x00b@example.com", "x" * 9000, "\ud800"):
            assert sign_in(client, email.encode("utf-8", "replace").decode()).status_code == 200

    def test_needs_the_token_of_the_form(self, ana):
        client = Client(enforce_csrf_checks=True)
        assert sign_in(client, ana.email).status_code == 403

    def test_the_session_key_changes(self, ana, client):
        client.get("/login/")
        session = client.session
        session["before"] = 1
        session.save()
        before = session.session_key
        sign_in(client, ana.email)
        assert client.session.session_key != before

    def test_signing_out_is_a_post(self, ana, client_for):
        client = client_for(ana)
        assert client.get("/logout/").status_code == 405
        assert client.post("/logout/").status_code == 302
        assert client.get("/account/").status_code == 302

    def test_all_pages_need_it(self, ana, team):
        assert_needs_sign_in(
            [
                "/account/", "/account/password/", "/people/", "/people/new/",
                f"/people/{ana.pk}/", "/teams/", "/teams/new/", f"/teams/{team.slug}/",
                "/tokens/", "/tokens/new/", "/audit/", "/api/v1/auth/me", "/api/v1/tokens",
                "/api/v1/users", "/api/v1/teams", "/api/v1/audit",
            ],
            ["/tokens/1/revoke/", f"/people/{ana.pk}/deactivate/", "/account/sign-out-everywhere/"],
        )  # fmt: skip


class TestLockOut:
    @pytest.fixture(autouse=True)
    def three(self, settings):
        settings.AXES_FAILURE_LIMIT = 3

    def test_after_some_failures_even_the_right_password_waits(self, ana, client):
        for email in ("ana@example.com", "Ana@Example.com", "ANA@EXAMPLE.COM"):
            answer = sign_in(client, email, "wrong")
        assert answer.status_code == 429
        answer = sign_in(client, ana.email)
        assert answer.status_code == 429
        assert answer["Retry-After"] == "900"
        assert "15 minutes" in answer.content.decode()

    def test_others_and_other_places_are_not_locked(self, ana, ben, client):
        for _ in range(3):
            sign_in(client, ana.email, "wrong")
        assert sign_in(client, ben.email).status_code == 302
        elsewhere = Client(REMOTE_ADDR="10.1.2.3")
        assert sign_in(elsewhere, ana.email).status_code == 302

    def test_a_forged_address_does_not_give_more_tries(self, ana):
        for n in range(3):
            client = Client(headers={"x-forwarded-for": f"10.0.0.{n}"})
            answer = sign_in(client, ana.email, "wrong")
        assert answer.status_code == 429

    def test_unknown_addresses_are_locked_alike(self, db, client):
        for _ in range(3):
            answer = sign_in(client, "nobody@example.com", "wrong")
        assert answer.status_code == 429


class TestPasswordChange:
    def form(self, **changes):
        return {"old_password": PASSWORD, "new_password": NEW, "again": NEW, **changes}

    def test_is_forced_after_a_one_time_password(self, client):
        user = UserFactory(must_change_password=True)
        sign_in(client, user.email)
        for address in ("/", "/people/", "/tokens/new/", "/api/docs/"):
            assert client.get(address)["Location"] == "/account/password/"
        assert client.post("/tokens/new/", {"name": "x"})["Location"] == "/account/password/"
        assert client.get("/api/v1/auth/me").status_code == 403
        assert client.get("/account/password/").status_code == 200
        assert client.post("/i18n/language/", {"language": "en"}).status_code == 302
        answer = client.post("/account/password/", self.form())
        assert answer.status_code == 302
        assert client.get("/people/").status_code == 200
        user.refresh_from_db()
        assert user.check_password(NEW)

    def test_a_token_still_works_meanwhile(self, ana, api_for):
        ana.must_change_password = True
        ana.save()
        assert api_for(ana).get("/api/v1/auth/me").status_code == 200

    def test_one_may_sign_out_instead(self, client):
        user = UserFactory(must_change_password=True)
        sign_in(client, user.email)
        assert client.post("/logout/")["Location"] == "/login/"

    def test_ends_all_other_sessions(self, ana, client_for):
        here, there = client_for(ana), client_for(ana)
        assert here.post("/account/password/", self.form()).status_code == 302
        assert here.get("/account/").status_code == 200
        assert there.get("/account/").status_code == 302

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"old_password": "wrong"}, "not your current password"),
            ({"again": "different"}, "two new passwords differ"),
            ({"new_password": "short", "again": "short"}, "too short"),
        ],
    )
    def test_says_what_is_wrong_beside_the_field(self, ana, client_for, changes, message):
        answer = client_for(ana).post("/account/password/", self.form(**changes))
        assert message in answer.content.decode()
        ana.refresh_from_db()
        assert ana.check_password(PASSWORD)


class TestAccount:
    def test_shows_teams_and_saves_the_name(self, ana, client_for):
        client = client_for(ana)
        page = client.get("/account/").content.decode()
        assert "Research" in page
        assert "Admin" in page
        assert client.post("/account/", {"name": "Ana Maria"}).status_code == 302
        ana.refresh_from_db()
        assert ana.name == "Ana Maria"

    def test_signs_out_everywhere_else(self, ana, client_for):
        here, there = client_for(ana), client_for(ana)
        assert here.post("/account/sign-out-everywhere/").status_code == 302
        assert here.get("/account/").status_code == 200
        assert there.get("/account/").status_code == 302

    def test_the_language_can_be_changed(self, ana, client_for):
        client = client_for(ana)
        client.post("/i18n/language/", {"language": "zh-hans", "next": "/account/"})
        assert 'lang="zh-hans"' in client.get("/account/").content.decode()
