"""The API of approvals and environments."""

import pytest

from models_app.approvals.services import approval_vote
from tests.factories.deployments import deployment_of, environment, revision_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_(ana, team):
    return revision_of(ana, deployment_of(ana, team, env="production")).approval


class TestList:
    def test_tells_apart_what_waits_for_whom(self, ana, dan, cai, request_, api_for):
        def ids(user, **query):
            answer = api_for(user).get("/api/v1/approvals", query)
            assert answer.status_code == 200
            return [row["id"] for row in answer.json()["results"]]

        assert ids(dan, **{"for": "me"}) == [request_.pk]
        assert ids(ana, **{"for": "me"}) == []
        assert ids(ana, **{"for": "mine"}) == [request_.pk]
        assert ids(ana, state="rejected") == []
        assert ids(cai) == []

    @pytest.mark.parametrize("query", [{"for": "x"}, {"state": "x"}])
    def test_refuses_unknown_filters(self, ana, api_for, query):
        assert api_for(ana).get("/api/v1/approvals", query).status_code == 422


class TestVotes:
    def test_approve(self, dan, request_, api_for):
        answer = api_for(dan).post(
            f"/api/v1/approvals/{request_.pk}/votes", {"decision": "approve"}
        )

        assert answer.status_code == 201
        assert answer.json()["state"] == "approved"
        assert answer.json()["votes"][0]["user"] == dan.email

    def test_the_requester_is_refused(self, ana, request_, api_for):
        answer = api_for(ana).post(
            f"/api/v1/approvals/{request_.pk}/votes", {"decision": "approve"}
        )
        assert answer.status_code == 403
        assert "yourself" in answer.json()["detail"]

    def test_a_token_needs_the_scope(self, dan, request_, api_for):
        answer = api_for(dan, "read", "deploy").post(
            f"/api/v1/approvals/{request_.pk}/votes", {"decision": "approve"}
        )
        assert answer.status_code == 403

    @pytest.mark.parametrize(
        "body",
        [{}, {"decision": "perhaps"}, {"decision": "approve", "x": 1}, {"decision": "reject"}],
    )
    def test_bad_input_is_named(self, dan, request_, api_for, body):
        answer = api_for(dan).post(f"/api/v1/approvals/{request_.pk}/votes", body)
        assert answer.status_code == 422
        assert answer.json()["errors"]

    def test_a_decided_request_takes_no_more(self, ana, dan, root, request_, api_for):
        approval_vote(actor=dan, request=request_, decision="approve")
        answer = api_for(root).post(
            f"/api/v1/approvals/{request_.pk}/votes", {"decision": "approve"}
        )
        assert answer.status_code == 409


def test_withdraw(ana, request_, api_for):
    answer = api_for(ana).post(f"/api/v1/approvals/{request_.pk}/withdraw")
    assert answer.json()["state"] == "withdrawn"


@pytest.mark.parametrize("path", ["", "/votes", "/withdraw"])
def test_outsiders_get_404(cai, request_, api_for, path):
    client = api_for(cai)
    call = client.post if path else client.get
    assert call(f"/api/v1/approvals/{request_.pk}{path}", {}).status_code == 404


class TestEnvironments:
    def test_are_listed(self, ana, api_for):
        environment("production"), environment("staging"), environment("development")
        rows = api_for(ana).get("/api/v1/environments").json()
        assert {row["name"]: row["protected"] for row in rows}["production"] is True

    def test_only_platform_admins_change_them(self, ana, root, api_for):
        environment("production")
        url, body = "/api/v1/environments/production", {"required_approvals": 2}
        assert api_for(ana).patch(url, body).status_code == 403
        answer = api_for(root).patch(url, body)
        assert answer.status_code == 200
        assert answer.json()["required_approvals"] == 2
        assert api_for(root).patch(url, {"required_approvals": 0}).status_code == 422
        assert api_for(root).patch("/api/v1/environments/moon", {}).status_code == 404
