"""The playground's page and the token it calls the gateway with."""

import pytest
from django.urls import reverse

from console.access.browser_tokens import browser_claim
from models_app.approvals.models import Environment
from models_app.core.clock import now
from models_app.deployments.models import Deployment, Replica, RequestRecord
from models_app.registry.models import ModelVersion
from tests.fakes.gateway import revision_of


@pytest.fixture
def chat(team):
    return deployed(team, "chat")


def deployed(team, name):
    environment, _ = Environment.objects.get_or_create(name="staging")
    deployment = Deployment.objects.create(team=team, name=name, environment=environment)
    revision = revision_of(deployment)
    type(revision).objects.update(state="active")
    deployment.active_revision = revision
    deployment.save()
    Replica.objects.create(revision=revision, state="ready", host="127.0.0.1", port=1, epoch=1)
    return deployment


class TestPage:
    def test_offers_the_deployments_of_ones_teams(self, client_for, ana, chat, other_team):
        deployed(other_team, "contracts")

        page = client_for(ana).get(reverse("playground"))

        assert [choice["name"] for choice in page.context["choices"]] == ["research/chat"]
        assert page.context["panes"][0]["chosen"] == "research/chat"
        assert b"js/playground.js" in page.content and b"style=" not in page.content

    def test_two_deployments_come_from_the_address(self, client_for, ana, chat, team):
        deployed(team, "other")

        address = {"a": "research/other", "b": "research/chat"}
        page = client_for(ana).get(reverse("playground"), address)

        assert [pane["chosen"] for pane in page.context["panes"]] == [
            "research/other",
            "research/chat",
        ]
        assert page.context["two"] is True

    def test_says_that_a_foreign_one_is_not_there(self, client_for, cai, chat, other_team):
        deployed(other_team, "contracts")

        page = client_for(cai).get(reverse("playground"), {"a": "research/chat"})

        assert page.context["panes"][0] == {"key": "a", "chosen": "", "missing": "research/chat"}
        assert [choice["name"] for choice in page.context["choices"]] == ["legal/contracts"]

    def test_nothing_deployed_is_explained(self, client_for, ana):
        page = client_for(ana).get(reverse("playground"))

        assert b"Nothing is deployed yet" in page.content
        assert b"js/playground.js" not in page.content

    def test_a_model_with_a_template_chats_and_another_continues_text(self, client_for, ana, chat):
        page = client_for(ana).get(reverse("playground"))
        assert page.context["choices"][0]["chat"] is False

        ModelVersion.objects.update(manifest={"chat_template.jinja": {"sha256": "0", "size": 1}})

        page = client_for(ana).get(reverse("playground"))
        assert page.context["choices"][0]["chat"] is True

    def test_needs_a_person(self, client, db):
        assert client.get(reverse("playground")).status_code == 302

    def test_a_name_cannot_break_out_of_the_page(self, client_for, ana, chat):
        page = client_for(ana).get(reverse("playground"), {"a": "</script><b>/x"})

        assert b"</script><b>" not in page.content

    def test_a_call_is_found_by_its_id(self, client_for, ana, chat):
        for number in (1, 2):
            RequestRecord.objects.create(
                request_id=f"req-{number}", at=now(), deployment=chat, status=200, total_ms=1
            )

        page = client_for(ana).get(
            reverse("deployment_requests", args=["research", "chat"]), {"request": "req-2"}
        )

        assert [record.request_id for record in page.context["records"]] == ["req-2"]


class TestToken:
    def test_is_the_persons_own_and_never_cached(self, client_for, ana):
        answer = client_for(ana).post(reverse("playground_token"))

        assert browser_claim(answer.json()["token"]).user_id == ana.pk
        assert "no-store" in answer["Cache-Control"]

    def test_is_given_by_post_with_csrf_only(self, client_for, ana):
        assert client_for(ana).get(reverse("playground_token")).status_code == 405
        strict = client_for(ana, enforce_csrf_checks=True)
        assert strict.post(reverse("playground_token")).status_code == 403

    def test_needs_a_person(self, client, db):
        assert client.post(reverse("playground_token")).status_code == 302
