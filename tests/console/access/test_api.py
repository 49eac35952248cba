"""The API of people, teams and tokens."""

import pytest
from django.test import Client

from console.access.models import ApiToken, Membership, User
from console.access.tokens import token_find
from tests.factories.access import ApiTokenFactory
from tests.matrix import assert_hidden

pytestmark = pytest.mark.django_db


def test_me_tells_who_and_what_for(ana, team, api_for):
    body = api_for(ana, "infer", team=team).get("/api/v1/auth/me").json()
    assert body["user"]["email"] == ana.email
    assert body["user"]["roles"] == {"research": "admin"}
    assert body["token"]["scopes"] == ["infer"]
    assert body["token"]["team"] == "research"


def test_reading_needs_the_scope_read(ana, api_for):
    client = api_for(ana, "infer", "write")
    for path in ("users", "teams", "tokens", "audit", "jobs"):
        assert client.get(f"/api/v1/{path}").status_code == 403, path
    answer = client.get("/api/v1/teams")
    assert answer["Content-Type"] == "application/problem+json"
    assert "read" in answer.json()["detail"]


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Bearer slip_x y", "Bearer \xff"])
def test_broken_tokens_are_refused(db, header):
    answer = Client().get("/api/v1/auth/me", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_needs_the_csrf_token(ana):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana, backend="console.access.backends.RoleBackend")
    answer = client.post("/api/v1/tokens", {"name": "x", "scopes": ["read"]}, "application/json")
    assert answer.status_code == 403
    assert not ApiToken.objects.exists()


class TestTokens:
    def test_made_listed_replaced_revoked(self, ana, team, api_for):
        client = api_for(ana)
        answer = client.post(
            "/api/v1/tokens", {"name": "ci", "scopes": ["read"], "team": "research"}
        )
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        body = answer.json()
        assert answer["Location"] == body["url"]
        assert token_find(body["secret"]).team == team
        assert "secret" not in client.get(body["url"]).json()
        assert [row["name"] for row in client.get("/api/v1/tokens").json()["results"]] == [
            "ci",
            "test",
        ]
        fresh = client.post(f"{body['url']}/rotate", {"grace_minutes": 0})
        assert fresh.status_code == 201
        assert token_find(body["secret"]) is None
        assert client.delete(fresh.json()["url"]).status_code == 204
        assert token_find(fresh.json()["secret"]) is None
        assert client.delete(fresh.json()["url"]).status_code == 409

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"scopes": ["read"]}, "name"),
            ({"name": "x", "scopes": []}, "scopes"),
            ({"name": "x", "scopes": ["fly"]}, "scopes"),
            ({"name": "x", "scopes": ["read"], "team": "legal"}, "team"),
            ({"name": "x", "scopes": ["read"], "expires_in_days": 9999}, "expires_in_days"),
            ({"name": "x", "scopes": ["read"], "user": 1}, "user"),
            ([], "body"),
        ],
    )
    def test_bad_input(self, ana, cai, api_for, body, field):
        answer = api_for(ana).post("/api/v1/tokens", body)
        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [field]

    def test_others_tokens_are_hidden(self, ana, ben, api_for):
        pk = ApiTokenFactory(user=ana).pk
        client = api_for(ben)
        assert_hidden(client, [f"/api/v1/tokens/{pk}"], [f"/api/v1/tokens/{pk}/rotate"])
        assert client.delete(f"/api/v1/tokens/{pk}").status_code == 404


class TestPeopleAndTeams:
    def test_a_platform_admin_manages_people(self, root, team, api_for):
        client = api_for(root)
        answer = client.post("/api/v1/users", {"email": "gus@example.com", "name": "Gus"})
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        at = answer["Location"]
        user = User.objects.get(email="gus@example.com")
        assert user.check_password(answer.json()["one_time_password"])
        assert client.patch(at, {"name": "Gustav"}).json()["name"] == "Gustav"
        assert client.patch(at, {"is_admin": True}).json()["is_admin"] is True
        assert client.post(f"{at}/deactivate").json()["is_active"] is False
        assert client.post(f"{at}/activate").json()["is_active"] is True
        user.refresh_from_db()
        secret = client.post(f"{at}/password-reset").json()["one_time_password"]
        user.refresh_from_db()
        assert user.check_password(secret)
        rows = client.get("/api/v1/users?status=admin&query=gus").json()["results"]
        assert [row["email"] for row in rows] == ["gus@example.com"]

    def test_members_may_not(self, ana, ben, api_for):
        client = api_for(ana)
        at = f"/api/v1/users/{ben.pk}"
        assert client.post("/api/v1/users", {"email": "x@y.zz", "name": "X"}).status_code == 403
        assert client.patch(at, {"is_admin": True}).status_code == 403
        assert client.patch(f"/api/v1/users/{ana.pk}", {"is_admin": True}).status_code == 403
        for verb in ("deactivate", "activate", "password-reset"):
            assert client.post(f"{at}/{verb}").status_code == 403
        assert client.post("/api/v1/teams", {"slug": "mine"}).status_code == 403
        assert not User.objects.filter(is_admin=True).exists()

    def test_fields_that_are_not_offered_are_refused(self, ana, api_for):
        answer = api_for(ana).patch(f"/api/v1/users/{ana.pk}", {"email": "root@example.com"})
        assert answer.status_code == 422
        assert "email" in answer.json()["errors"]

    def test_an_admin_manages_members(self, ana, cai, team, api_for):
        client = api_for(ana)
        at = "/api/v1/teams/research/memberships"
        answer = client.post(at, {"email": cai.email, "role": "viewer"})
        assert answer.status_code == 201
        one = answer["Location"]
        assert client.get(one).json()["role"] == "viewer"
        assert client.patch(one, {"role": "developer"}).json()["role"] == "developer"
        assert {row["email"] for row in client.get(at).json()["results"]} == {
            ana.email,
            cai.email,
        }
        assert client.delete(one).status_code == 204
        assert not Membership.objects.filter(team=team, user=cai).exists()
        assert client.patch("/api/v1/teams/research", {"title": "R"}).json()["title"] == "R"
        assert client.post(at, {"email": "no@y.zz", "role": "viewer"}).status_code == 422
        assert client.post(at, {"email": cai.email, "role": "king"}).status_code == 422

    def test_a_team_is_made_with_its_admin(self, root, ana, api_for):
        answer = api_for(root).post("/api/v1/teams", {"slug": "vision", "admin": ana.email})
        assert answer.status_code == 201
        assert answer.json()["members"] == 1

    def test_outsiders_get_404(self, ana, cai, team, api_for):
        client = api_for(cai)
        member = f"/api/v1/teams/research/memberships/{ana.pk}"
        assert_hidden(
            client,
            [
                f"/api/v1/users/{ana.pk}", "/api/v1/teams/research",
                "/api/v1/teams/research/memberships", member,
            ],
            [f"/api/v1/users/{ana.pk}/deactivate", "/api/v1/teams/research/memberships"],
        )  # fmt: skip
        assert client.delete(member).status_code == 404
        assert client.patch(member, {"role": "viewer"}).status_code == 404
        emails = [row["email"] for row in client.get("/api/v1/users").json()["results"]]
        assert emails == [cai.email]

    def test_lists_are_paged_by_cursor(self, root, api_for):
        client = api_for(root)
        for n in range(5):
            client.post("/api/v1/teams", {"slug": f"t{n}"})
        first = client.get("/api/v1/teams?page_size=3").json()
        rest = client.get(first["next"]).json()
        assert [row["slug"] for row in first["results"] + rest["results"]] == [
            "t4", "t3", "t2", "t1", "t0",
        ]  # fmt: skip
