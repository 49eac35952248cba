"""The commands that make the first admin, people, teams and tokens."""

import io

import pytest
from django.core.management import CommandError, call_command

from console.access.models import ApiToken, Membership, Team, User
from console.access.tokens import token_find
from models_app.audit.models import AuditEvent

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    """What a command prints."""
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("SLIPWAY_ADMIN_EMAIL", "SLIPWAY_ADMIN_PASSWORD", "SLIPWAY_ADMIN_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


class TestAdminEnsure:
    def test_makes_an_admin_with_a_one_time_password_and_a_team(self):
        text = run("admin_ensure")
        user = User.objects.get()
        password = text.split("password:")[1].split()[0]
        assert user.email == "admin@slipway.local"
        assert user.check_password(password)
        assert (user.is_admin, user.must_change_password) == (True, True)
        assert Membership.objects.get(user=user).team.slug == "default"

    def test_a_second_run_changes_nothing(self):
        run("admin_ensure")
        before = User.objects.get().password
        text = run("admin_ensure")
        assert "password" not in text
        assert User.objects.get().password == before
        assert Team.objects.count() == 1

    def test_takes_address_and_password_from_the_environment(self, monkeypatch, tmp_path):
        file = tmp_path / "password"
        file.write_text("a very long pass phrase\n")
        monkeypatch.setenv("SLIPWAY_ADMIN_EMAIL", "Boss@Example.com")
        monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD_FILE", str(file))
        text = run("admin_ensure")
        user = User.objects.get()
        assert user.email == "boss@example.com"
        assert user.check_password("a very long pass phrase")
        assert not user.must_change_password
        assert "a very long pass phrase" not in text

    def test_refuses_a_weak_password(self, monkeypatch):
        monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", "short")
        with pytest.raises(CommandError, match="too short"):
            run("admin_ensure")
        assert not User.objects.exists()

    def test_promotes_the_named_person_when_no_admin_is_left(self, ana, monkeypatch):
        monkeypatch.setenv("SLIPWAY_ADMIN_EMAIL", ana.email)
        run("admin_ensure")
        ana.refresh_from_db()
        assert ana.is_admin


class TestTokenCreate:
    def test_prints_only_a_working_secret(self, ana, team):
        words = ["--user", "Ana@example.com", "--scope", "read,infer", "--scope", "write"]
        secret = run(
            "token_create", *words, "--name", "load test", "--team", "research", "--days", "7"
        )
        token = token_find(secret)
        assert token.user == ana
        assert token.scopes == ["read", "infer", "write"]
        assert token.team == team
        assert token.expires_at is not None
        assert AuditEvent.objects.get(action="token.created").via == "cli"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--user", "nobody@example.com", "--scope", "read"], "nobody"),
            (["--user", "ana@example.com", "--scope", "fly"], "no scope 'fly'"),
            (["--user", "ana@example.com", "--scope", "read", "--team", "x"], "Known: research"),
            (["--user", "ana@example.com", "--scope", "read", "--days", "400"], "365"),
        ],
    )
    def test_says_what_is_wrong(self, ana, words, message):
        with pytest.raises(CommandError, match=message):
            run("token_create", *words, "--name", "x")
        assert not ApiToken.objects.exists()


class TestUserCreate:
    def test_with_a_role_prints_a_one_time_password(self, team):
        text = run(
            "user_create", "--email", "flo@example.com", "--name", "Flo",
            "--team", "research", "--role", "developer",
        )  # fmt: skip
        email, password = text.splitlines()
        user = User.objects.get(email=email)
        assert user.check_password(password)
        assert user.must_change_password
        assert user.memberships.get().role == "developer"

    def test_reads_the_password_from_stdin(self, db, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO("a very long pass phrase\n"))
        words = ["--email", "gil@example.com", "--name", "Gil", "--password-stdin", "--admin"]
        assert run("user_create", *words) == "gil@example.com"
        user = User.objects.get()
        assert user.check_password("a very long pass phrase")
        assert user.is_admin

    def test_a_wrong_team_makes_nobody(self, db):
        with pytest.raises(CommandError, match="no team"):
            run("user_create", "--email", "a@example.com", "--name", "A", "--team", "none")
        assert not User.objects.exists()


class TestTeamCreate:
    def test_makes_a_team(self, db):
        assert run("team_create", "vision", "--title", "Vision group") == "vision"
        assert Team.objects.get().title == "Vision group"

    @pytest.mark.parametrize("slug", ["Vision", "new", "a b", ""])
    def test_refuses_bad_names(self, db, slug):
        with pytest.raises(CommandError):
            run("team_create", slug)
