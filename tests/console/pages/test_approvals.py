"""Pages of approvals: the inbox, the review, the policies."""

import pytest
from django.urls import reverse

from models_app.approvals.states import RequestState
from tests.factories.deployments import (
    deployment_of,
    environment,
    ready_version,
    revision_of,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return deployment_of(ana, team, env="production")


@pytest.fixture
def request_(ana, deployment):
    return revision_of(ana, deployment, reason="Better rhymes").approval


def url(row):
    return reverse("approval_detail", args=[row.pk])


class TestInbox:
    def test_shows_what_waits_for_me(self, dan, ana, request_, client_for):
        page = client_for(dan).get("/approvals/").content.decode()
        assert f"CR-{request_.pk}" in page
        assert "Nothing waits for you" in client_for(ana).get("/approvals/").content.decode()
        mine = client_for(ana).get("/approvals/?for=mine&state=open").content.decode()
        assert f"CR-{request_.pk}" in mine
        none = client_for(ana).get("/approvals/?for=all&state=rejected").content.decode()
        assert "No request matches" in none

    def test_counts_beside_the_entry(self, dan, request_, client_for):
        assert "waiting for you" in client_for(dan).get("/approvals/").content.decode()

    def test_shows_outsiders_nothing(self, cai, request_, client_for):
        page = client_for(cai).get("/approvals/?for=all").content.decode()
        assert f"CR-{request_.pk}" not in page


class TestReview:
    def test_says_what_changes_why_and_who_may_not(self, dan, request_, client_for):
        page = client_for(dan).get(url(request_)).content.decode()
        for text in (
            "Better rhymes",
            "poet v1",
            "Way back:",
            "Ana asked for it",
            "Submit decision",
        ):
            assert text in page

    def test_compares_the_figures_of_both_versions(self, ana, dan, team, client_for, deployment):
        old = ready_version(team, metrics={"validation_loss": 2.0})
        first = revision_of(ana, deployment, version=old)
        client_for(dan).post(url(first.approval), {"decision": "approve", "comment": ""})
        settle(deployment)
        new = ready_version(team, text="new", metrics={"validation_loss": 1.5})
        second = revision_of(ana, deployment, version=new)

        page = client_for(dan).get(url(second.approval)).content.decode()

        assert "Validation loss of the training" in page
        assert "-25.0% better" in page

    def test_approve(self, dan, request_, client_for):
        answer = client_for(dan).post(url(request_), {"decision": "approve", "comment": "ok"})
        assert answer.status_code == 302
        request_.refresh_from_db()
        assert request_.state == RequestState.APPROVED

    def test_rejecting_without_a_reason_is_an_error_beside_the_field(
        self, dan, request_, client_for
    ):
        answer = client_for(dan).post(url(request_), {"decision": "reject", "comment": ""})
        assert answer.status_code == 422
        assert "Say why you reject it" in answer.content.decode()
        request_.refresh_from_db()
        assert request_.state == RequestState.OPEN

    def test_the_requester_sees_why_not_and_cannot(self, ana, request_, client_for):
        client = client_for(ana)
        page = client.get(url(request_)).content.decode()
        assert "You asked for this yourself" in page
        assert "Submit decision" not in page
        assert client.post(url(request_), {"decision": "approve"}).status_code == 403

    def test_withdraw(self, ana, request_, client_for):
        client = client_for(ana)
        answer = client.post(reverse("approval_withdraw", args=[request_.pk]), follow=True)
        assert "The request is withdrawn." in answer.content.decode()

    def test_outsiders_get_404(self, cai, request_, client_for):
        client = client_for(cai)
        assert client.get(url(request_)).status_code == 404
        assert client.post(url(request_), {"decision": "approve"}).status_code == 404
        withdraw = reverse("approval_withdraw", args=[request_.pk])
        assert client.post(withdraw).status_code == 404


class TestPolicies:
    def test_everybody_reads_admins_change(self, ana, root, request_, client_for):
        page = client_for(ana).get("/approvals/policies/").content.decode()
        assert "production" in page
        form = reverse("approval_policy", args=["production"])
        assert client_for(ana).get(form).status_code == 403
        client = client_for(root)
        assert "a change makes it stale" in client.get(form).content.decode()
        data = {"protected": "on", "required_approvals": 2, "expires_after_h": 24}
        assert client.post(form, data).status_code == 302
        assert environment("production").required_approvals == 2
        assert client.post(form, {**data, "required_approvals": 99}).status_code == 422
        assert client.get(reverse("approval_policy", args=["moon"])).status_code == 404


def test_signed_out_people_are_sent_to_sign_in(client, db):
    for path in ("/approvals/", "/approvals/CR-1/", "/approvals/policies/"):
        assert client.get(path).status_code == 302
