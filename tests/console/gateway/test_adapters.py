"""Adapters under the name of a deployment and of a route, and replicas that have not loaded one."""

import threading

import pytest

from console.gateway import exchange
from models_app.deployments.models import RevisionAdapter
from models_app.events.publish import publish_now
from models_app.registry.models import ModelVersion
from tests.factories.deployments import adapter_version
from tests.factories.routing import route_of, to
from tests.fakes.gateway import (
    CHAT,
    activate,
    eventually,
    key_of,
    record_of,
    replica_row,
    revision_of,
    serve,
    wait_for_route,
)

LEGAL = {**CHAT, "model": "research/chat:legal"}
ROUTED = {**CHAT, "model": "research/assistant:legal"}


def give(deployment, *names: str, revision=None) -> None:
    """The revision serves these adapters."""
    revision = revision or deployment.active_revision
    for name in names:
        version = adapter_version(deployment.team, revision.model_version, name=name)
        RevisionAdapter.objects.create(revision=revision, name=name, model_version=version)
    publish_now("routes.changed", {}, "gateway")


def knows(gateway, model: str) -> None:
    eventually(lambda: gateway.gateway.tables.routes.find(model))


@pytest.fixture
def pair(team, fakes, gateway):
    """research/chat with two replicas; only the second has the adapter that both should have."""
    first, second = fakes(), fakes()
    first.adapters, second.adapters = set(), {"legal"}
    first.deployment = serve(team, "chat", first, second)
    give(first.deployment, "legal")
    knows(gateway, "research/chat:legal")
    wait_for_route(gateway, "research/chat", 2)
    return first, second


class TestReplicasWithoutIt:
    @pytest.mark.parametrize("stream", [False, True])
    def test_another_one_that_has_it_is_asked(self, gateway, pair, ana, stream):
        first, second = pair
        key = key_of(ana)

        replies = [gateway.call(key, {**LEGAL, "stream": stream}) for _ in range(4)]

        assert [reply.status for reply in replies] == [200] * 4
        assert len(second.calls) == 4
        # It is not asked again and again for what it has said that it has not.
        assert len(first.calls) <= 2
        retried = [r for r in replies if record_of(r.request_id).retries]
        assert len(retried) == len(first.calls)
        assert all("without adapter legal" in record_of(r.request_id).detail for r in retried)

    def test_where_all_load_it_the_request_waits(self, gateway, pair, ana):
        first, second = pair
        second.adapters = set()
        replies = []
        caller = threading.Thread(target=lambda: replies.append(gateway.call(key, LEGAL)))
        key = key_of(ana)
        caller.start()
        eventually(lambda: first.calls and second.calls)

        first.adapters = {"legal"}
        caller.join()

        assert replies[0].status == 200
        assert not any(r.outstanding for r in gateway.gateway.tables.routes.replicas())

    def test_one_that_nobody_loads_is_told_as_such(self, gateway, pair, ana, monkeypatch):
        monkeypatch.setattr(exchange, "ADAPTER_WAIT_S", 0.3)
        pair[1].adapters = set()

        reply = gateway.call(key_of(ana), LEGAL)

        assert (reply.status, reply.code) == (503, "adapter_not_loaded")
        assert reply.headers["x-should-retry"] == "true"

    def test_one_that_was_taken_out_is_not_waited_for(self, gateway, pair, ana):
        pair[1].adapters = set()
        key = key_of(ana)
        replies = []
        caller = threading.Thread(target=lambda: replies.append(gateway.call(key, LEGAL)))
        caller.start()
        eventually(lambda: pair[0].calls and pair[1].calls)

        RevisionAdapter.objects.all().delete()
        publish_now("routes.changed", {}, "gateway")
        caller.join()

        assert (replies[0].status, replies[0].code) == (404, "model_not_found")

    def test_in_a_roll_out_the_side_that_has_it_answers(self, gateway, team, fakes, ana):
        old, new = fakes(), fakes()
        old.adapters, new.adapters = set(), {"legal"}
        deployment = serve(team, "chat", old)
        candidate = revision_of(deployment, 2)
        replica_row(candidate, new)
        give(deployment, "legal", revision=candidate)
        activate(candidate)
        knows(gateway, "research/chat:legal")

        assert gateway.call(key_of(ana), LEGAL).status == 200
        assert old.calls == []


class TestRoutes:
    @pytest.fixture
    def assistant(self, ana, team, fakes, gateway, chat):
        """research/assistant: chat, which has the adapter legal; tiny has none and helps out."""
        fake = fakes()
        fake.deployment = serve(team, "tiny", fake)
        wait_for_route(gateway, "research/tiny", 1)
        chat.adapters = {"legal"}
        give(chat.deployment, "legal")
        knows(gateway, "research/chat:legal")
        ModelVersion.objects.update(state="ready")
        rules = [{"name": "fun", "when": [{"task": "fun"}], "targets": [to("tiny")]}]
        route_of(ana, team, rules=rules, fallback=[to("tiny")])
        eventually(lambda: "research/assistant" in gateway.gateway.tables.routing.by_name)
        return fake

    def test_lead_to_the_adapter_of_their_target(self, gateway, assistant, chat, ana):
        reply = gateway.call(key_of(ana), ROUTED)

        assert reply.status == 200 and "x-degraded" not in reply.headers
        assert chat.headers[-1]["x-slipway-adapter"] == "legal"
        row = record_of(reply.request_id)
        assert (row.adapter, row.rule, row.model) == ("legal", "default", ROUTED["model"])

    def test_help_out_without_it_and_say_so(self, gateway, assistant, chat, ana):
        chat.mode = "draining"

        reply = gateway.call(key_of(ana), ROUTED)

        assert (reply.status, reply.headers["x-degraded"]) == (200, "fallback:tiny")
        assert "x-slipway-adapter" not in assistant.headers[-1]

    def test_say_what_to_ask_for_where_nothing_has_it(self, gateway, assistant, chat, ana):
        key = key_of(ana)
        for body, said in (
            ({**ROUTED, "model": "research/assistant:medical"}, "no adapter 'medical'"),
            ({**ROUTED, "metadata": {"task": "fun"}}, "It has none"),
        ):
            reply = gateway.call(key, body)
            assert (reply.status, reply.code) == (404, "model_not_found")
            assert said in reply.json["error"]["message"]
            assert "'research/assistant' alone" in reply.json["error"]["message"]
        assert chat.calls == assistant.calls == []

    def test_of_others_are_not_told_apart_from_none(self, gateway, assistant, cai):
        reply = gateway.call(key_of(cai), ROUTED)

        assert (reply.status, reply.code) == (404, "model_not_found")
        assert "does not exist or you do not have access" in reply.json["error"]["message"]

    def test_list_the_adapters_that_everybody_gets(self, gateway, assistant, ana):
        key = key_of(ana)
        names = {m["id"] for m in gateway.call(key, path="/v1/models").json["data"]}

        assert {"research/chat:legal", "research/assistant", "research/tiny"} <= names
        # The rule `fun` sends some callers to what has none.
        assert "research/assistant:legal" not in names
        found = gateway.call(key, path="/v1/models/research/assistant:legal")
        assert (found.status, found.code) == (404, "model_not_found")
        give(assistant.deployment, "legal")
        knows(gateway, "research/tiny:legal")
        names = {m["id"] for m in gateway.call(key, path="/v1/models").json["data"]}
        assert "research/assistant:legal" in names
        found = gateway.call(key, path="/v1/models/research/assistant:legal")
        assert found.json["id"] == "research/assistant:legal"
