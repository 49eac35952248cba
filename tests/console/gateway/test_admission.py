"""Who gets a place when there are fewer than callers, how long others wait, what they are told."""

import threading
import time

import pytest

from models_app.deployments.models import Deployment
from tests.factories.access import MembershipFactory, UserFactory
from tests.fakes.gateway import CHAT, eventually, key_of, record_of, serve, wait_for_route


@pytest.fixture
def narrow(team, fakes, gateway):
    """`narrow(**spec)`: research/chat with one replica that computes one request at a time."""

    def make(pause_s: float = 0.0, **spec):
        fake = fakes()
        fake.slots, fake.pause_s = 1, pause_s
        fake.deployment = serve(team, "chat", fake, **{"max_slots": 1, **spec})
        wait_for_route(gateway, "research/chat", 1)
        return fake

    return make


class Callers:
    """Callers in threads, each with one request."""

    def __init__(self, gateway) -> None:
        self._gateway = gateway
        self._threads: list[threading.Thread] = []
        self.replies: list = []
        self.order: list[str] = []

    def call(self, key: str, name: str = "", body=CHAT) -> None:
        thread = threading.Thread(target=self._call, args=(key, name, body))
        self._threads.append(thread)
        thread.start()

    def _call(self, key: str, name: str, body) -> None:
        reply = self._gateway.call(key, body)
        self.replies.append(reply)
        self.order.append(name)

    def join(self) -> list:
        for thread in self._threads:
            thread.join()
        return self.replies


@pytest.fixture
def callers(gateway):
    return Callers(gateway)


def waiting(gateway) -> int:
    routes = gateway.gateway.tables.routes
    return gateway.gateway.seats.waiting(routes.by_name["research/chat"])


class TestLine:
    def test_waits_for_a_free_replica_and_the_record_says_how_long(
        self, gateway, narrow, callers, ana
    ):
        narrow(pause_s=0.2)
        key = key_of(ana)
        for _ in range(4):
            callers.call(key)

        replies = callers.join()

        assert [reply.status for reply in replies] == [200] * 4
        waits = sorted(record_of(reply.request_id).gateway_wait_ms for reply in replies)
        # One is computed and one more is there already, so that the replica never waits.
        assert waits[:2] == [0, 0] and waits[2] > 100 and waits[3] > waits[2]

    def test_sends_no_more_than_the_slots_and_one(self, gateway, narrow, callers, ana):
        fake = narrow()
        fake.mode = "silent"
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(5)]
        eventually(lambda: waiting(gateway) == 3)

        eventually(lambda: len(fake.calls) == 2)
        gateway.call(key, path="/v1/models")
        assert len(fake.calls) == 2
        for connection in held:
            connection.close()
            connection.sock = None
        eventually(lambda: waiting(gateway) == 0)

    def test_learns_the_slots_from_the_replica_itself(self, gateway, narrow, ana):
        fake = narrow()
        fake.slots = 40
        replica = gateway.gateway.tables.routes.by_name["research/chat"].active.replicas[0]

        eventually(lambda: replica.slots == 40)

    def test_refuses_who_finds_the_line_full_and_says_when_to_come_again(
        self, gateway, narrow, callers, ana
    ):
        fake = narrow(pause_s=0.1, queue_limit=0)
        key = key_of(ana)
        gateway.call(key, CHAT)
        fake.mode = "silent"
        held = [gateway.open(key, CHAT) for _ in range(2)]
        eventually(lambda: len(fake.calls) == 3)

        first, second = gateway.call(key, CHAT), gateway.call(key, CHAT)

        assert (first.status, first.code) == (429, "replicas_busy")
        assert first.headers["x-should-retry"] == "true"
        assert 1 <= int(first.headers["retry-after"]) <= 60
        assert int(first.headers["retry-after-ms"]) >= 1000
        assert record_of(second.request_id).outcome == "replicas_busy"
        for connection in held:
            connection.close()

    def test_nobody_waits_longer_than_the_configuration_says(self, gateway, narrow, ana):
        fake = narrow(queue_wait_s=1)
        fake.mode = "silent"
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(2)]
        eventually(lambda: len(fake.calls) == 2)
        began = time.monotonic()

        reply = gateway.call(key, CHAT)

        assert reply.status == 429 and 0.9 < time.monotonic() - began < 5
        for connection in held:
            connection.close()

    def test_a_deadline_ends_waiting_too(self, gateway, narrow, ana):
        fake = narrow(deadline_s=1)
        fake.mode = "silent"
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(2)]
        eventually(lambda: len(fake.calls) == 2)

        reply = gateway.call(key, CHAT)

        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        assert "1 s" in reply.json["error"]["message"]
        for connection in held:
            connection.close()

    def test_who_hangs_up_leaves_the_line_at_once(self, gateway, narrow, ana):
        fake = narrow()
        fake.mode = "silent"
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(2)]
        eventually(lambda: len(fake.calls) == 2)
        gone = gateway.open(key, CHAT, x_request_id="gone")
        eventually(lambda: waiting(gateway) == 1)

        gone.close()
        gone.sock = None

        eventually(lambda: waiting(gateway) == 0, 8)
        assert record_of("gone").outcome == "client_closed"
        for connection in held:
            connection.close()

    def test_one_person_cannot_keep_another_out(self, gateway, narrow, callers, ana, team):
        narrow(pause_s=0.05, queue_limit=8)
        other = UserFactory()
        MembershipFactory(user=other, team=team, role="viewer")
        flood, calm = key_of(ana), key_of(other)
        for _ in range(12):
            callers.call(flood, "flood")
        eventually(lambda: waiting(gateway) == 8)

        callers.call(calm, "calm")
        callers.join()

        assert callers.order.index("calm") < 9
        calm_reply = callers.replies[callers.order.index("calm")]
        assert calm_reply.status == 200

    def test_tells_the_replica_whose_it_is_and_how_long_it_has(self, gateway, narrow, ana, team):
        fake = narrow(deadline_s=20)

        gateway.call(key_of(ana), CHAT, x_slipway_tenant="999", x_slipway_priority="high")

        said = fake.headers[-1]
        assert said["x-slipway-tenant"] == str(team.pk)
        assert said["x-slipway-priority"] == "normal"
        assert 15_000 < int(said["x-slipway-deadline-ms"]) <= 20_000


class TestAsleep:
    @pytest.fixture
    def asleep(self, team, gateway):
        deployment = serve(team, "chat", queue_limit=2)
        Deployment.objects.filter(pk=deployment.pk).update(scaled_to=0)
        routes = gateway.gateway.tables.routes
        eventually(
            lambda: "research/chat" in routes.by_name and routes.by_name["research/chat"].asleep
        )
        return deployment

    def test_wakes_once_and_answers_who_waited(self, gateway, asleep, callers, ana, fakes):
        from models_app.deployments.models import ScalingEvent
        from tests.fakes.gateway import replica_row

        key = key_of(ana)
        callers.call(key), callers.call(key)
        eventually(lambda: asleep.scaling_events.filter(cause="wake").exists())
        eventually(lambda: waiting(gateway) == 2)

        replica_row(asleep.active_revision, fakes())
        replies = callers.join()

        assert [reply.status for reply in replies] == [200, 200]
        assert ScalingEvent.objects.filter(deployment=asleep, cause="wake").count() == 1
        row = record_of(replies[0].request_id)
        assert row.wake_ms > 0 and row.gateway_wait_ms >= row.wake_ms

    def test_who_hangs_up_is_not_waited_for(self, gateway, asleep, ana):
        connection = gateway.open(key_of(ana), CHAT, x_request_id="impatient")
        eventually(lambda: waiting(gateway) == 1)

        connection.close()
        connection.sock = None

        assert record_of("impatient").outcome == "client_closed"
        assert waiting(gateway) == 0


class TestTwoGateways:
    def test_share_nothing_but_the_database_and_redis(self, gateway, narrow, ana):
        """What one does is seen by scaling under its own name, and both route alike."""
        from models_app.deployments.load import load_now

        fake = narrow()
        fake.mode = "silent"
        key = key_of(ana)
        held = [gateway.open(key, CHAT) for _ in range(3)]

        def said():
            load = (load_now() or {}).get(fake.deployment.pk)
            return load and (load.running, load.waiting) == (2, 1)

        eventually(said)
        for connection in held:
            connection.close()
            connection.sock = None
        eventually(lambda: not (load_now() or {}).get(fake.deployment.pk) or not said())


class TestOverload:
    def test_keeps_who_is_admitted_fast_and_stock_clients_come_back_by_themselves(
        self, gateway, narrow, ana
    ):
        """Twenty times what one slot can do: the rest is refused and told when to come again."""
        import asyncio

        import aiohttp
        import openai

        service_s, line = 0.2, 3
        narrow(pause_s=service_s, queue_limit=line, queue_wait_s=5)
        key, answers = key_of(ana), []

        async def one(session):
            began = time.monotonic()
            headers = {"authorization": f"Bearer {key}"}
            url = f"{gateway.url}/v1/chat/completions"
            async with session.post(url, json=CHAT, headers=headers) as response:
                await response.read()
                answers.append((response.status, time.monotonic() - began, response.headers))

        async def flood():
            async with aiohttp.ClientSession() as session:
                tasks = []
                for _ in range(100):
                    tasks.append(asyncio.create_task(one(session)))
                    await asyncio.sleep(service_s / 20)
                await asyncio.gather(*tasks)

        gateway.call(key, CHAT)
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key)
        flooding = threading.Thread(target=asyncio.run, args=(flood(),))
        flooding.start()
        eventually(lambda: len(answers) > 20)

        said = client.chat.completions.create(**CHAT)
        flooding.join()

        assert said.choices[0].message.content
        good = sorted(seconds for status, seconds, _ in answers if status == 200)
        assert {status for status, _, _ in answers} == {200, 429}
        # One at work, one at the replica, three in line; twice that on a busy machine.
        assert good[int(len(good) * 0.95)] < service_s * (2 + line) * 2
        refused = [headers for status, _, headers in answers if status == 429]
        assert len(refused) > 70
        assert all(1 <= int(headers["retry-after"]) <= 15 for headers in refused)
        assert all(headers["x-should-retry"] == "true" for headers in refused)
