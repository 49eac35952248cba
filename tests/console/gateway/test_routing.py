"""Routes in the running gateway: rules, locks, splits, substitutes, caps."""

import time

import pytest

from models_app.deployments.digest import revision_digest
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.services import deployment_stop
from models_app.events.publish import publish_now
from models_app.registry.models import Model, ModelVersion
from models_app.routing.models import Route, RouteRevision
from models_app.routing.services import route_remove, route_revise
from tests.factories.access import MembershipFactory
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

ASK = {**CHAT, "model": "research/assistant"}
PLACED = {**ASK, "metadata": {"task": "legal"}}


@pytest.fixture
def tiny(team, fakes, gateway, chat):
    """research/tiny, an n-gram, beside research/chat."""
    fake = fakes()
    fake.deployment = serve(team, "tiny", fake)
    Model.objects.get_or_create(team=team, name="counts", defaults={"family": "ngram"})
    version = fake.deployment.active_revision.model_version
    version.pk, version.model = None, Model.objects.get(name="counts")
    version.save()
    Revision.objects.filter(deployment=fake.deployment).update(model_version=version)
    wait_for_route(gateway, "research/tiny", replicas=1)
    return fake


def known(gateway, route, number=1):
    """Until the gateway has this revision of a route; it is told, so well within a second."""
    began = time.monotonic()
    name = f"{route.team.slug}/{route.name}"
    route.refresh_from_db()
    table = gateway.gateway.tables.routing
    eventually(
        lambda: name in table.by_name and table.by_name[name].revision_id == route.current_id
    )
    assert route.current.number == number
    return time.monotonic() - began


LEGAL = {
    "name": "gold-legal",
    "when": [{"tenant": "gold"}, {"task": "legal"}],
    "locked": True,
}


class TestRules:
    @pytest.fixture
    def pinned(self, ana, team, other_team, fakes, gateway, chat, tiny):
        """tenant=gold and task=legal → chat r7, else tiny; r8 serves by now."""
        old, new = fakes(), fakes()
        r7, r8 = revision_of(chat.deployment, 7), revision_of(chat.deployment, 8)
        replica_row(r7, old)
        replica_row(r8, new)
        activate(r7)
        ModelVersion.objects.update(state="ready")
        r7 = Revision.objects.get(pk=r7.pk)
        Revision.objects.filter(pk=r7.pk).update(
            activated_at=r7.created_at, digest=revision_digest(r7)
        )
        other_team.slug = "gold"
        other_team.save()
        MembershipFactory(user=ana, team=other_team, role="viewer")
        route = route_of(
            ana,
            team,
            callers=["gold"],
            rules=[{**LEGAL, "targets": [to("chat", revision=7)]}],
            targets=[to("tiny")],
        )
        activate(r8)
        known(gateway, route)
        routes = gateway.gateway.tables.routes
        eventually(lambda: (found := routes.by_name.get("research/chat")) and len(found.arms) == 2)
        return old

    def test_a_rule_sends_a_tenants_task_to_one_revision(
        self, gateway, pinned, tiny, other_team, ana, cai
    ):
        gold = key_of(cai, team=other_team)
        reply = gateway.call(gold, ASK, x_slipway_task="legal")

        assert reply.status == 200 and len(pinned.calls) == 1
        row = record_of(reply.request_id)
        assert (row.rule, row.revision.number, row.degraded) == ("gold-legal", 7, "")
        assert row.model == "research/assistant"
        assert gateway.call(gold, PLACED).status == 200 and len(pinned.calls) == 2
        # Another task, another tenant: the n-gram, which is no substitute here.
        for key, task in ((gold, "fun"), (key_of(ana), "legal")):
            other = gateway.call(key, ASK, x_slipway_task=task)
            assert "x-degraded" not in other.headers
            assert record_of(other.request_id).rule == "default"
        assert (len(pinned.calls), len(tiny.calls)) == (2, 2)

    @pytest.mark.parametrize("task", ["legal", "fun"])
    @pytest.mark.parametrize("header", ["x_slipway_target", "x_slipway_revision"])
    def test_no_header_overrides_a_locked_rule(
        self, gateway, pinned, ana, other_team, task, header
    ):
        key = key_of(ana, team=other_team)
        forced = {header: "tiny" if header.endswith("target") else "1"}
        reply = gateway.call(key, ASK, x_slipway_task=task, **forced)

        assert (reply.status, reply.code) == (403, "target_locked")
        assert "gold-legal" in reply.json["error"]["message"]
        assert record_of(reply.request_id).status == 403

    def test_the_route_does_not_open_its_deployments(self, gateway, pinned, cai, other_team):
        key = key_of(cai, team=other_team)

        assert gateway.call(key, {**ASK, "model": "research/chat"}).status == 404
        listed = [m["id"] for m in gateway.call(key, path="/v1/models").json["data"]]
        assert listed == ["research/assistant"]
        assert gateway.call(key, path="/v1/models/research/assistant").json["id"] == listed[0]


class TestChosenTargets:
    def test_a_caller_chooses_where_nothing_is_locked(self, gateway, chat, tiny, ana, team):
        known(gateway, route_of(ana, team))
        for name in ("tiny", "research/tiny"):
            reply = gateway.call(key_of(ana), ASK, x_slipway_target=name)
            assert reply.status == 200
            assert record_of(reply.request_id).rule == "chosen by the caller"
        assert (len(chat.calls), len(tiny.calls)) == (0, 2)
        number = str(chat.deployment.active_revision.number)
        assert gateway.call(key_of(ana), ASK, x_slipway_revision=number).status == 200
        assert len(chat.calls) == 1

    @pytest.mark.parametrize(
        "forced",
        [
            {"x_slipway_target": "nowhere"},
            {"x_slipway_target": "a/b/c\u00e9"},
            {"x_slipway_revision": "77"},
            {"x_slipway_revision": "-1"},
            {"x_slipway_revision": "9" * 400},
        ],
    )
    def test_what_does_not_serve_is_not_found(self, gateway, chat, ana, team, forced):
        known(gateway, route_of(ana, team))
        reply = gateway.call(key_of(ana), ASK, **forced)

        assert (reply.status, reply.code) == (404, "target_not_found")
        assert chat.calls == []

    def test_a_guest_of_the_route_chooses_nothing(self, gateway, chat, ana, team, other_team, cai):
        MembershipFactory(user=ana, team=other_team, role="viewer")
        known(gateway, route_of(ana, team, callers=[other_team.slug]))
        key = key_of(cai)

        assert gateway.call(key, ASK).status == 200
        assert gateway.call(key, ASK, x_slipway_target="chat").code == "target_not_found"


class TestSubstitutes:
    @pytest.fixture
    def route(self, gateway, chat, tiny, ana, team):
        row = route_of(ana, team, fallback=[to("tiny")])
        known(gateway, row)
        return row

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_ngram_answers_when_every_other_replica_is_dead(
        self, gateway, route, chat, tiny, ana, stream
    ):
        key = key_of(ana)
        assert "x-degraded" not in gateway.call(key, ASK).headers
        chat.stop_listening()
        replies = [gateway.call(key, {**ASK, "stream": stream}) for _ in range(5)]

        assert {reply.status for reply in replies} == {200}
        assert {reply.headers["x-degraded"] for reply in replies} == {"ngram"}
        row = record_of(replies[0].request_id)
        assert (row.degraded, row.deployment_id) == ("ngram", tiny.deployment.pk)
        # What the gateway itself knows of the time, free of this test's own waits.
        assert min(record_of(r.request_id).total_ms for r in replies) < 50

    @pytest.mark.parametrize("mode", ["queue_full", "draining", "broken", "drop", "stranger"])
    def test_whatever_is_wrong_before_the_first_byte(self, gateway, route, chat, tiny, ana, mode):
        chat.mode = mode
        reply = gateway.call(key_of(ana), ASK)

        assert (reply.status, reply.headers["x-degraded"]) == (200, "ngram")
        assert len(tiny.calls) == 1

    def test_the_callers_own_mistake_is_not_asked_twice(self, gateway, route, chat, tiny, ana):
        assert gateway.call(key_of(ana), {**ASK, "max_tokens": 0}).status == 400
        assert tiny.calls == []

    def test_a_deployment_that_is_stopped_is_passed_over(self, gateway, route, chat, tiny, ana):
        deployment_stop(actor=ana, deployment=chat.deployment)
        eventually(lambda: "research/chat" not in gateway.gateway.tables.routes.by_name)
        assert gateway.call(key_of(ana), ASK).headers["x-degraded"] == "ngram"

    def test_another_name_stands_in_the_header_for_another_family(
        self, gateway, chat, fakes, ana, team
    ):
        spare = fakes()
        serve(team, "a-spare-with-quite-a-long-name-of-its-own", spare)
        wait_for_route(gateway, "research/a-spare-with-quite-a-long-name-of-its-own", 1)
        route = route_of(ana, team, fallback=[to("a-spare-with-quite-a-long-name-of-its-own")])
        known(gateway, route)
        chat.stop_listening()
        reply = gateway.call(key_of(ana), ASK)

        assert reply.headers["x-degraded"].startswith("fallback:a-spare-with")
        assert record_of(reply.request_id).degraded == reply.headers["x-degraded"]


class TestSplits:
    def test_keys_stay_on_their_side(self, gateway, chat, tiny, ana, team):
        route = route_of(
            ana, team, sticky_by="header:x-end-user", targets=[to("chat", 50), to("tiny", 50)]
        )
        known(gateway, route)
        key = key_of(ana)

        def sides():
            found = []
            for number in range(12):
                before = len(tiny.calls)
                assert gateway.call(key, ASK, x_end_user=f"u{number}").status == 200
                found.append(len(tiny.calls) > before)
            return found

        first = sides()
        assert sides() == first and set(first) == {True, False}
        spec = {**route.current.spec, "targets": [to("chat", 20), to("tiny", 80)]}
        route_revise(actor=ana, route=route, spec=spec, reason="more")
        known(gateway, route, 2)
        assert all(now or not was for was, now in zip(first, sides(), strict=True))


class TestWhatARuleSays:
    @pytest.mark.parametrize(
        ("asked", "sent"), [({}, 5), ({"max_tokens": 3}, 3), ({"max_tokens": 9}, 5)]
    )
    def test_answers_are_no_longer_than_it_allows(self, gateway, chat, ana, team, asked, sent):
        known(
            gateway,
            route_of(ana, team, rules=[{"name": "r", "targets": [to("chat")], "max_tokens": 5}]),
        )
        assert gateway.call(key_of(ana), {**ASK, **asked}).status == 200
        assert chat.calls[0]["max_tokens"] == sent

    def test_nonsense_in_that_field_is_the_replicas_to_refuse(self, gateway, chat, ana, team):
        known(
            gateway,
            route_of(ana, team, rules=[{"name": "r", "targets": [to("chat")], "max_tokens": 5}]),
        )
        gateway.call(key_of(ana), {**ASK, "max_completion_tokens": "many"})
        assert chat.calls[0]["max_completion_tokens"] == "many"


class TestChanges:
    def test_count_within_a_second(self, gateway, chat, tiny, ana, team):
        route = route_of(ana, team)
        assert known(gateway, route) < 1.0
        spec = {**route.current.spec, "targets": [to("tiny")]}
        route_revise(actor=ana, route=route, spec=spec, reason="all to tiny")
        assert known(gateway, route, 2) < 1.0
        gateway.call(key_of(ana), ASK)
        assert (len(chat.calls), len(tiny.calls)) == (0, 1)

    def test_switched_off_removed_and_hidden_routes_are_not_there(
        self, gateway, chat, ana, team, cai
    ):
        route = route_of(ana, team)
        known(gateway, route)
        assert gateway.call(key_of(cai), ASK).code == "model_not_found"
        route_revise(
            actor=ana, route=route, spec={**route.current.spec, "enabled": False}, reason="off"
        )
        known(gateway, route, 2)
        assert gateway.call(key_of(ana), ASK).code == "model_not_found"
        assert "research/assistant" not in str(gateway.call(key_of(ana), path="/v1/models").json)
        route_remove(actor=ana, route=route)
        eventually(lambda: "research/assistant" not in gateway.gateway.tables.routing.by_name)
        assert gateway.call(key_of(ana), ASK).code == "model_not_found"


def test_nothing_in_service_is_said_as_such(gateway, chat, ana, team):
    known(gateway, route_of(ana, team))
    Deployment.objects.update(stopped_at=chat.deployment.created_at)
    eventually(lambda: not gateway.gateway.tables.routes.by_name)
    reply = gateway.call(key_of(ana), ASK)

    assert (reply.status, reply.code) == (503, "no_replica_ready")


def test_a_route_that_cannot_be_read_takes_nothing_else_with_it(gateway, chat, ana, team):
    broken = route_of(ana, team, name="broken")
    known(gateway, broken)
    later = RouteRevision.objects.create(
        route=broken, number=2, spec={"from": "a later version"}, cells={}, digest="0"
    )
    Route.objects.filter(pk=broken.pk).update(current=later)
    publish_now("routes.changed", {}, "gateway")
    known(gateway, route_of(ana, team))

    assert gateway.call(key_of(ana), ASK).status == 200
    assert gateway.call(key_of(ana), {**ASK, "model": "research/broken"}).status == 404
