"""Roll-outs under load, through the running gateway: no caller ever sees an error."""

import threading
import time

import pytest

from models_app.deployments.models import RequestRecord, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.secrets import replica_secret
from models_app.deployments.services import roll_back
from models_app.deployments.services.course import live_rollout
from tests.factories.deployments import deployment_of, live, revision_of
from tests.factories.nodes import ready_node
from tests.factories.rollouts import drain, start_placed
from tests.fakes.gateway import CHAT, eventually, key_of

BODY = {**CHAT, "model": "research/writer"}


class Callers:
    """Ask again and again until they are told to stop; what they got, and how long it took."""

    def __init__(self, gateway, key, count=3, body=BODY) -> None:
        self.replies: list[tuple[int, float]] = []
        self._stop = threading.Event()

        def work() -> None:
            while not self._stop.is_set():
                began = time.monotonic()
                reply = gateway.call(key, body)
                self.replies.append((reply.status, time.monotonic() - began))
                self._stop.wait(0.02)

        self._threads = [threading.Thread(target=work) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def more(self, count=5) -> None:
        """Wait until so many more answers have come."""
        goal = len(self.replies) + count
        eventually(lambda: len(self.replies) >= goal)

    @property
    def statuses(self) -> set[int]:
        return {status for status, _seconds in self.replies}


@pytest.fixture
def stand(ana, team, gateway, fakes):
    """Deployments whose replicas are fakes behind real rows."""
    return Stand(ana, team, gateway, fakes)


class Stand:
    def __init__(self, ana, team, gateway, fakes) -> None:
        self.ana, self.team, self.gateway, self._fakes = ana, team, gateway, fakes
        self.fakes: dict[int, object] = {}

    def deploy(self, slots: int, **spec):
        ready_node("node-1", slots=slots)
        self.deployment = deployment_of(self.ana, self.team)
        revision_of(self.ana, self.deployment, **spec)
        self.round()
        self.start()
        eventually(lambda: self.routed(1))
        return self.deployment

    def round(self) -> None:
        reconcile_deployment(self.deployment.pk)

    def start(self) -> None:
        """Every replica that has a place gets a fake and is ready."""
        start_placed(self.deployment, self._port)

    def _port(self, replica, epoch: int) -> int:
        fake = self.fakes[replica.pk] = self._fakes()
        fake.secret = replica_secret(replica.pk, epoch)
        return fake.port

    def routed(self, number: int) -> bool:
        """Whether the gateway knows a replica of this revision."""
        route = self.gateway.gateway.tables.routes.by_name.get("research/writer")
        wanted = self.deployment.revisions.get(number=number).pk
        arms = route.arms if route is not None else []
        return any(arm.revision_id == wanted and arm.replicas for arm in arms)

    def revise(self, **spec) -> None:
        revision_of(self.ana, self.deployment, **spec)
        self.round()

    def leave(self) -> None:
        """What drains has gone, after the gateway has noticed."""
        drain(self.deployment)
        self.round()


def test_on_a_full_pool_requests_are_held_while_one_replica_gives_way_to_another(stand, ana):
    stand.deploy(slots=1)
    with Callers(stand.gateway, key_of(ana)) as callers:
        callers.more()
        began = time.monotonic()
        stand.revise()
        assert live_rollout(stand.deployment).events.first().data["room"] == "drain_first"
        eventually(lambda: not stand.routed(1))
        stand.leave()
        route = stand.gateway.gateway.tables.routes.by_name["research/writer"]
        eventually(lambda: stand.gateway.gateway.seats.waiting(route) == 3)
        stand.start()
        eventually(lambda: stand.routed(2))
        swap = time.monotonic() - began
        callers.more()

    assert callers.statuses == {200}
    assert max(seconds for _status, seconds in callers.replies) <= swap + 1
    assert Rollout.objects.get(revision__number=2).state == "succeeded"


def test_back_in_one_call_without_an_error(stand, ana):
    stand.deploy(slots=2)
    stand.revise()
    stand.start()
    eventually(lambda: stand.routed(2))
    with Callers(stand.gateway, key_of(ana)) as callers:
        callers.more()
        roll_back(actor=ana, deployment=stand.deployment)
        eventually(lambda: stand.routed(1))
        callers.more()

    assert callers.statuses == {200}
    numbers = RequestRecord.objects.order_by("-id").values_list("revision__number", flat=True)
    assert eventually(lambda: numbers.first() == 1)


def test_replicas_are_replaced_one_after_another_without_an_error(stand, ana):
    stand.deploy(slots=3, replicas=2)
    with Callers(stand.gateway, key_of(ana)) as callers:
        callers.more()
        stand.revise(strategy="rolling", replicas=2)
        for _ in range(3):
            stand.start()
            callers.more(3)
            stand.leave()
        callers.more()

    assert callers.statuses == {200}
    stand.deployment.refresh_from_db()
    assert stand.deployment.active_revision.number == 2


def test_a_canary_that_breaks_is_turned_back(stand, ana):
    stand.deploy(slots=2)
    stand.revise(strategy="canary", canary_percent=50, bake_s=600)
    stand.start()
    eventually(lambda: stand.routed(2))
    new = next(r.pk for r in live(stand.deployment) if r.revision.number == 2)
    stand.fakes[new].mode = "broken"
    key = key_of(ana)
    bodies = [{**BODY, "user": f"person-{n}"} for n in range(12)]

    statuses = [stand.gateway.call(key, body).status for body in bodies * 4]
    written = RequestRecord.objects.filter(deployment=stand.deployment)
    eventually(lambda: written.count() >= len(statuses))
    stand.round()

    row = Rollout.objects.get(revision__number=2)
    assert row.state == "rolled_back"
    eventually(lambda: not stand.routed(2))
    assert {stand.gateway.call(key, body).status for body in bodies} == {200}
