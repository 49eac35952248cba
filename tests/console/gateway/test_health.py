"""Replicas that die, hang or come back, and what the gateway's own numbers say of it."""

import threading
import time

import pytest

from models_app.deployments.models import RequestRecord, Rollout
from models_app.events.publish import publish_now
from tests.fakes.gateway import (
    CHAT,
    eventually,
    key_of,
    record_of,
    replica_row,
    revision_of,
    serve,
    wait_for_route,
)

STREAM = {**CHAT, "stream": True}


@pytest.fixture
def pair(team, fakes, gateway):
    """research/chat with two replicas."""
    found = [fakes(), fakes()]
    serve(team, "chat", *found)
    wait_for_route(gateway, "research/chat", 2)
    return found


def replicas(gateway):
    return gateway.gateway.tables.routes.by_name["research/chat"].active.replicas


class TestDeath:
    def test_of_a_replica_costs_no_request_and_it_is_left_alone_at_once(self, gateway, pair, ana):
        key, replies, stop = key_of(ana), [], threading.Event()

        def call_on():
            while not stop.is_set():
                replies.append(gateway.call(key, CHAT))

        callers = [threading.Thread(target=call_on) for _ in range(4)]
        for caller in callers:
            caller.start()
        eventually(lambda: len(pair[0].calls) > 3)
        pair[0].stop_listening()
        died = time.monotonic()
        eventually(lambda: any(replica.ejected for replica in replicas(gateway)))
        noticed = time.monotonic() - died
        stop.set()
        for caller in callers:
            caller.join()

        assert {reply.status for reply in replies} == {200}
        assert noticed < 2

    def test_without_traffic_is_noticed_by_a_probe(self, gateway, pair, monkeypatch):
        monkeypatch.setattr("console.gateway.probing.IDLE_S", 0.2)
        pair[0].stop_listening()

        eventually(lambda: [replica.ejected for replica in replicas(gateway)].count(True) == 1)
        pair[0].listen_again()
        eventually(lambda: not any(replica.ejected for replica in replicas(gateway)))

    def test_of_one_that_hangs_sends_its_requests_elsewhere(self, gateway, pair, ana, monkeypatch):
        """It listens and says nothing, not even how it is."""
        monkeypatch.setattr("console.gateway.probing.TIMEOUT_S", 0.1)
        monkeypatch.setattr("console.gateway.probing.QUIET_S", 0.1)
        pair[0].mode = pair[0].health = "silent"
        key, replies = key_of(ana), []
        callers = [
            threading.Thread(target=lambda: replies.append(gateway.call(key, CHAT)))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

        assert [reply.status for reply in replies] == [200] * 4
        assert sum(record_of(reply.request_id).retries for reply in replies) >= 1


class TestMetrics:
    def test_are_for_keys_that_may_read(self, gateway, chat, ana):
        assert gateway.call(None, path="/metrics").status == 401
        assert gateway.call(key_of(ana, "infer"), path="/metrics").status == 403

    def test_count_requests_and_seconds_in_prometheus_text(self, gateway, chat, ana):
        key = key_of(ana)
        gateway.call(key, CHAT), gateway.call(key, STREAM)
        gateway.call(key, {**CHAT, "max_tokens": 0})

        reply = gateway.call(key_of(ana, "read"), path="/metrics")

        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = reply.body.decode().splitlines()
        of = 'deployment="research/chat"'
        assert f'slipway_gateway_requests_total{{{of},status="200",outcome="stop"}} 2' in lines
        assert (
            f'slipway_gateway_requests_total{{{of},status="400",outcome="invalid_value"}} 1'
            in lines
        )
        assert f"slipway_gateway_first_token_seconds_count{{{of}}} 1" in lines
        assert f'slipway_gateway_answer_seconds_bucket{{{of},le="+Inf"}} 2' in lines
        assert f'slipway_gateway_tokens_total{{{of},kind="completion"}} 10' in lines
        assert f"slipway_gateway_waiting{{{of}}} 0" in lines
        names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        assert len(names) == len(set(names)) > 8

    def test_say_nothing_of_other_teams(self, gateway, chat, ana, cai):
        gateway.call(key_of(ana), CHAT)

        assert b"research/chat" not in gateway.call(key_of(cai, "read"), path="/metrics").body


class TestShares:
    @pytest.fixture
    def candidate(self, chat, fakes, gateway):
        """`candidate(percent, mirror)`: a revision under test beside the active one."""

        def make(percent: int = 0, mirror: int = 0):
            fake = fakes()
            revision = revision_of(chat.deployment, 2)
            replica_row(revision, fake)
            fake.revision = revision
            Rollout.objects.create(
                deployment=chat.deployment,
                revision=revision,
                strategy="canary",
                percent=percent,
                mirror_percent=mirror,
            )
            publish_now("routes.changed", {}, "gateway")
            routes = gateway.gateway.tables.routes
            eventually(lambda: len(routes.by_name["research/chat"].arms) == 2)
            return fake

        return make

    def test_a_person_is_always_on_the_same_side(self, gateway, chat, ana, candidate):
        fake, key = candidate(percent=50), key_of(ana)
        sides = {}
        for user in map(str, range(12)):
            rows = [record_of(gateway.call(key, {**CHAT, "user": user}).request_id) for _ in "ab"]
            assert rows[0].revision_id == rows[1].revision_id
            sides[user] = rows[0].revision_id

        assert set(sides.values()) == {fake.revision.pk, chat.deployment.active_revision_id}

    def test_copies_go_to_the_candidate_and_nobody_gets_their_answers(
        self, gateway, chat, ana, candidate
    ):
        fake = candidate(mirror=100)

        replies = [gateway.call(key_of(ana), body) for body in (CHAT, STREAM)]

        eventually(lambda: RequestRecord.objects.filter(mirrored=True).count() == 2)
        assert len(fake.calls) == 2 and len(chat.calls) == 2
        assert [reply.status for reply in replies] == [200, 200]
        copy = RequestRecord.objects.filter(mirrored=True).first()
        assert (copy.revision, copy.status, copy.completion_tokens) == (fake.revision, 200, 5)
        assert copy.request_id in {reply.request_id for reply in replies}

    def test_a_candidate_that_fails_copies_hurts_nobody(self, gateway, chat, ana, candidate):
        fake = candidate(mirror=100)
        fake.mode = "drop"

        assert gateway.call(key_of(ana), CHAT).status == 200
        copy = eventually(lambda: RequestRecord.objects.filter(mirrored=True).first())
        assert (copy.status, copy.outcome) == (503, "mirror_failed")

    def test_without_a_replica_of_its_side_the_other_answers(self, gateway, chat, ana, candidate):
        fake = candidate(percent=100)
        fake.revision.replica_set.update(state="crashed")
        publish_now("routes.changed", {}, "gateway")

        eventually(lambda: gateway.call(key_of(ana), CHAT).status == 200 and chat.calls)


class TestStopping:
    def test_finishes_what_runs_and_takes_nothing_new(self, gateway, chat, ana):
        chat.pause_s = 0.15
        response = gateway.open(key_of(ana), STREAM).getresponse()
        stopping = threading.Thread(target=gateway.stop)
        stopping.start()
        eventually(lambda: gateway._server.should_exit)

        assert response.read().endswith(b"data: [DONE]\n\n")
        stopping.join()
        with pytest.raises(OSError):
            gateway.open(key_of(ana), CHAT)
