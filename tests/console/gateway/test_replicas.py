"""What the caller does not notice of failing replicas, and what it is told where it must."""

import json
import threading

import pytest

from models_app.deployments.models import Deployment, Replica
from models_app.deployments.secrets import replica_secret
from models_app.events.publish import publish_now
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

STREAM = {**CHAT, "stream": True}


@pytest.fixture
def pair(team, fakes, gateway):
    """research/chat with two replicas."""
    replicas = [fakes(), fakes()]
    serve(team, "chat", *replicas)
    wait_for_route(gateway, "research/chat", 2)
    return replicas


class TestAnotherReplica:
    @pytest.mark.parametrize("mode", ["queue_full", "draining", "drop", "stranger", "die"])
    @pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
    def test_answers_when_the_first_fails_before_its_first_byte(
        self, gateway, pair, ana, mode, body
    ):
        pair[0].mode, pair[0].die_after = mode, 0
        key = key_of(ana)

        replies = [gateway.call(key, body) for _ in range(4)]

        assert [reply.status for reply in replies] == [200] * 4
        assert len(pair[1].calls) == 4
        rows = [record_of(reply.request_id) for reply in replies]
        assert sum(row.retries for row in rows) >= 1
        assert {row.outcome for row in rows} == {"stop"}

    def test_takes_over_when_one_is_gone_and_the_lost_one_is_left_alone(self, gateway, pair, ana):
        pair[0].stop_listening()
        key = key_of(ana)

        replies = [gateway.call(key, CHAT) for _ in range(20)]

        assert {reply.status for reply in replies} == {200}
        assert sum(record_of(reply.request_id).retries for reply in replies) <= 3

    def test_gets_requests_again_when_it_is_back(self, gateway, pair, ana):
        pair[0].stop_listening()
        key = key_of(ana)
        gateway.call(key, CHAT), gateway.call(key, CHAT)
        pair[0].listen_again()

        eventually(lambda: gateway.call(key, CHAT) and pair[0].calls)

    def test_shares_the_work_by_unfinished_requests(self, gateway, pair, ana):
        for replica in pair:
            replica.pause_s = 0.2
        key = key_of(ana)
        threads = [threading.Thread(target=gateway.call, args=(key, CHAT)) for _ in range(8)]

        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [len(replica.calls) for replica in pair] == [4, 4]


class TestNoReplica:
    def test_says_429_with_the_replicas_own_delay(self, gateway, chat, ana):
        chat.mode = "queue_full"

        reply = gateway.call(key_of(ana), CHAT)

        assert (reply.status, reply.code) == (429, "replicas_busy")
        assert reply.headers["retry-after"] == "3" and reply.headers["x-should-retry"] == "true"
        assert len(chat.calls) == 1

    def test_says_503_when_nothing_comes_up(self, gateway, team, ana, fakes):
        fake = fakes()
        serve(team, "chat", fake, queue_wait_s=1)
        Replica.objects.update(state="crashed")
        publish_now("routes.changed", {}, "gateway")
        wait_for_route(gateway, "research/chat", 0)

        reply = gateway.call(key_of(ana), CHAT)

        assert (reply.status, reply.code) == (503, "no_replica_ready")
        assert reply.headers["retry-after"] == "5"

    def test_only_so_many_wait(self, gateway, team, ana, fakes):
        deployment = serve(team, "chat", queue_limit=2)
        wait_for_route(gateway, "research/chat", 0)
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(2)]
        route = gateway.gateway.tables.routes.by_name["research/chat"]
        eventually(lambda: gateway.gateway.seats.waiting(route) == 2)

        assert gateway.call(key, CHAT).status == 503
        for connection in held:
            connection.close()
            connection.sock = None
        eventually(lambda: gateway.gateway.seats.waiting(route) == 0)
        assert deployment.requests.count() or eventually(lambda: deployment.requests.count() == 3)

    def test_waits_for_one_that_starts(self, gateway, chat, ana):
        Replica.objects.update(state="loading")
        publish_now("routes.changed", {}, "gateway")
        wait_for_route(gateway, "research/chat", 0)
        connection = gateway.open(key_of(ana), CHAT)

        Replica.objects.update(state="ready")
        publish_now("routes.changed", {}, "gateway")

        assert connection.getresponse().status == 200

    def test_a_stopped_deployment_is_not_found(self, gateway, chat, ana):
        Deployment.objects.update(stopped_at="2030-01-01T00:00:00Z")

        eventually(lambda: gateway.call(key_of(ana), CHAT).status == 404)


class TestBrokenStream:
    def test_ends_with_an_error_and_never_with_done(self, gateway, chat, ana):
        chat.mode, chat.die_after = "die", 3

        reply = gateway.call(key_of(ana), STREAM)

        assert reply.status == 200
        assert b"[DONE]" not in reply.body
        assert len([e for e in reply.events if e.startswith("data: ")]) == 3
        assert reply.events[-1].startswith("event: error\ndata: ")
        error = json.loads(reply.events[-1].split("data: ", 1)[1])["error"]
        assert error["code"] == "replica_lost"
        assert error["retryable"] is True and error["tokens_sent"] == 3
        row = record_of(reply.request_id)
        assert (row.status, row.outcome, row.completion_tokens) == (502, "replica_lost", 3)
        assert row.prompt_tokens == 7 and row.retries == 0

    def test_passes_on_what_the_replica_says_itself(self, gateway, chat, ana):
        chat.mode = "failing"

        reply = gateway.call(key_of(ana), STREAM)

        assert b"generation_failed" in reply.events[-1].encode()
        assert b"[DONE]" not in reply.body and b"replica_lost" not in reply.body
        assert record_of(reply.request_id).outcome == "replica_error"

    def test_a_gateway_that_is_stopped_says_so(self, gateway, chat, ana):
        chat.mode, chat.pause_s = "endless", 0.01
        response = gateway.open(key_of(ana), STREAM, x_request_id="cut").getresponse()
        response.read(300)

        gateway.stop()

        rest = response.read()
        assert b"event: error" in rest and b"gateway_stopped" in rest and b"[DONE]" not in rest
        row = record_of("cut")
        assert row.outcome == "gateway_stopped" and row.completion_tokens > 0


class TestHangingUp:
    @pytest.mark.parametrize(("mode", "body"), [("silent", CHAT), ("endless", STREAM)])
    def test_frees_the_replica_at_once_and_leaves_a_record(self, gateway, chat, ana, mode, body):
        chat.mode, chat.pause_s = mode, 0.01
        connection = gateway.open(key_of(ana), body, x_request_id="left-early")
        if mode == "endless":
            connection.getresponse().read(600)
        eventually(lambda: chat.calls)

        connection.close()
        connection.sock = None

        assert chat.hung_up.wait(1.0)
        row = record_of("left-early")
        assert (row.status, row.outcome) == (499, "client_closed")
        if mode == "endless":
            assert row.completion_tokens >= 3 and row.prompt_tokens == 7
        replica = gateway.gateway.tables.routes.by_name["research/chat"].active.replicas[0]
        assert replica.outstanding == 0

    def test_a_late_answer_is_cut_off(self, gateway, chat, ana, settings):
        settings.GATEWAY_TIMEOUT_S = 0.3
        chat.mode = "silent"

        reply = gateway.call(key_of(ana), CHAT)

        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        assert chat.hung_up.wait(1.0)
        assert record_of(reply.request_id).outcome == "deadline_exceeded"

    def test_a_late_stream_ends_with_an_error(self, gateway, chat, ana, settings):
        settings.GATEWAY_TIMEOUT_S = 0.3
        chat.mode, chat.pause_s = "endless", 0.01

        reply = gateway.call(key_of(ana), STREAM)

        assert "deadline_exceeded" in reply.events[-1] and b"[DONE]" not in reply.body
        assert record_of(reply.request_id).outcome == "deadline_exceeded"


class TestRollOut:
    def test_switches_under_load_without_a_failed_request(self, gateway, chat, ana, fakes):
        """Forward, back and forward again, while the old one goes away each time."""
        deployment, key, stop = chat.deployment, key_of(ana), threading.Event()
        statuses: list[int] = []

        def call_on():
            while not stop.is_set():
                reply = gateway.call(key, STREAM if len(statuses) % 2 else CHAT)
                whole = reply.status != 200 or b"[DONE]" in reply.body or b"choices" in reply.body
                statuses.append(reply.status if whole else 0)

        callers = [threading.Thread(target=call_on) for _ in range(4)]
        for caller in callers:
            caller.start()
        old = chat
        for number in (2, 3, 4):
            fresh = fakes()
            revision = revision_of(deployment, number)
            replica_row(revision, fresh)
            activate(revision)
            old.mode = "draining"
            eventually(lambda fresh=fresh: len(fresh.calls) > 5)
            old.stop_listening()
            old = fresh
        stop.set()
        for caller in callers:
            caller.join()

        assert len(statuses) > 20 and set(statuses) == {200}

    def test_lets_a_running_stream_end_where_it_began(self, gateway, chat, ana, fakes):
        chat.pause_s = 0.15
        connection = gateway.open(key_of(ana), STREAM)
        response = connection.getresponse()
        fresh = fakes()
        revision = revision_of(chat.deployment, 2)
        replica_row(revision, fresh)

        activate(revision)

        assert response.read().endswith(b"data: [DONE]\n\n")
        assert fresh.calls == []

    def test_never_asks_an_older_server_of_the_same_replica(self, gateway, chat, ana, fakes):
        """The job was claimed again: a new epoch, a new secret, another port."""
        fresh = fakes()
        row = Replica.objects.get()
        fresh.secret = replica_secret(row.pk, 2)
        Replica.objects.update(port=fresh.port, epoch=2)
        publish_now("routes.changed", {}, "gateway")

        eventually(lambda: gateway.call(key_of(ana), CHAT) and fresh.calls)
        before = len(chat.calls)
        assert gateway.call(key_of(ana), CHAT).status == 200
        assert len(chat.calls) == before
