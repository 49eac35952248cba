"""The playground's page and the token it calls the gateway with."""

import pytest
from django.urls import reverse

from console.access.browser_tokens import browser_claim
from models_app.approvals.models import Environment
from models_app.core.clock import now
from models_app.deployments.models import Deployment, Replica, RequestRecord, RevisionAdapter
from models_app.registry.models import ModelVersion
from tests.factories.deployments import adapter_version, call_of
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

        assert page.context["groups"] == [
            ("Deployments", ["research/chat"]),
            ("Versions", ["research/tiny:v1"]),
        ]
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
        assert page.context["groups"][0] == ("Deployments", ["legal/contracts"])

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

    @pytest.mark.parametrize(("family", "limit"), [("transformer", 4), ("ngram", 0)])
    def test_how_far_an_ngram_looks_back_limits_no_answer(
        self, client_for, ana, chat, family, limit
    ):
        version = chat.active_revision.model_version
        ModelVersion.objects.filter(pk=version.pk).update(facts={"context": 4})
        type(version.model).objects.filter(pk=version.model_id).update(family=family)
        page = client_for(ana).get(reverse("playground"))
        assert [choice["context"] for choice in page.context["choices"]] == [limit, limit]

    def test_needs_a_person(self, client, db):
        assert client.get(reverse("playground")).status_code == 302

    def test_a_name_cannot_break_out_of_the_page(self, client_for, ana, chat):
        page = client_for(ana).get(reverse("playground"), {"a": "</script><b>/x"})

        assert b"</script><b>" not in page.content

    def test_an_adapter_and_a_version_are_asked_by_their_names(self, client_for, ana, chat):
        base = chat.active_revision.model_version
        version = adapter_version(chat.team, base)
        RevisionAdapter.objects.create(
            revision=chat.active_revision, name="polite", model_version=version
        )

        page = client_for(ana).get(reverse("playground"), {"a": "research/chat:polite"})

        assert dict(page.context["groups"])["Adapters"] == ["research/chat:polite"]
        assert page.context["panes"][0]["chosen"] == "research/chat:polite"
        adapter = page.context["choices"][1]
        assert (adapter["version"], adapter["ready"]) == ("tuned v1", 1)

    def test_of_two_that_serve_a_version_one_answers_to_its_name(self, client_for, ana, chat, team):
        deployed(team, "other")

        page = client_for(ana).get(reverse("playground"))

        assert dict(page.context["groups"])["Versions"] == ["research/tiny:v1"]

    @pytest.mark.parametrize("name", ["\0/\0", "a/b:c:d", "///", "research/chat:"])
    def test_a_name_that_nobody_bears_is_said_to_be_missing(self, client_for, ana, chat, name):
        page = client_for(ana).get(reverse("playground"), {"a": name})

        assert page.status_code == 200
        assert page.context["panes"][0]["missing"] == name

    def test_a_call_is_found_by_its_id(self, client_for, ana, chat):
        for number in (1, 2):
            RequestRecord.objects.create(
                request_id=f"req-{number}", at=now(), deployment=chat, status=200, total_ms=1
            )

        page = client_for(ana).get(
            reverse("deployment_requests", args=["research", "chat"]), {"request": "req-2"}
        )

        assert [record.request_id for record in page.context["records"]] == ["req-2"]


class TestWhoAnswered:
    def where(self, client, request_id="req-1"):
        return client.get(reverse("playground_request", args=[request_id]))

    def test_says_revision_and_replica_and_leads_to_the_request(self, client_for, ana, chat):
        replica = Replica.objects.get()
        call_of(chat, user=ana, replica=replica)

        found = self.where(client_for(ana)).json()

        assert found == {
            "href": reverse("deployment_request", args=["research", "chat", "req-1"]),
            "deployment": "research/chat",
            "revision": 1,
            "replica": replica.pk,
        }

    def test_is_not_there_before_it_is_written_down(self, client_for, ana, chat):
        assert self.where(client_for(ana)).status_code == 202

    def test_knows_ones_own_calls_only_and_no_copies(self, client_for, ana, ben, cai, chat):
        call_of(chat, user=ben)
        call_of(chat, "req-2", user=ana, mirrored=True)
        call_of(chat, "req-3", user=cai)

        assert self.where(client_for(ana)).status_code == 202
        assert self.where(client_for(ana), "req-2").status_code == 202
        assert self.where(client_for(cai), "req-3").status_code == 202


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
