"""A node measures its speed once, in a process of its own, and reports it."""

import threading

import pytest

from models_app.pools.models import Node
from tests.factories.nodes import ready_node
from tests.factories.speed import SPEED
from workers import speed as subject
from workers.capacity import capacity


@pytest.fixture
def quiet(monkeypatch, settings, tmp_path):
    """A machine at rest whose measuring is over at once."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(subject, "MODULE", "tests.fakes.measuring")
    monkeypatch.setattr(subject, "LOOK_S", 0.01)
    monkeypatch.setattr(subject.os, "getloadavg", lambda: (0.0, 0.0, 0.0))


def run(node, busy=lambda: False, stopping=None):
    meter = subject.SpeedMeter(node.name, node.incarnation, stopping or threading.Event(), busy)
    meter.run()
    node.refresh_from_db()
    return node.capacity.get("speed")


@pytest.mark.django_db(transaction=True)
class TestSpeedMeter:
    def test_reports_what_was_measured_and_keeps_it(self, quiet, monkeypatch):
        found = run(ready_node("n1"))

        assert found["threads"] == SPEED["threads"]
        assert found["compile"] == SPEED["compile"]
        assert found["torch"] == capacity()["packages"]["torch"]
        assert subject.speed_known(capacity()) == found
        monkeypatch.setattr(subject, "MODULE", "tests.fakes.nobody")
        assert subject.measure(capacity(), threading.Event())  # not asked again

    def test_waits_until_no_job_runs_here(self, quiet):
        states = [True, True, False]
        assert run(ready_node("n1"), busy=lambda: states.pop(0))
        assert not states

    def test_a_measurement_that_fails_is_no_failure_of_the_node(self, quiet, monkeypatch):
        monkeypatch.setattr(subject, "MODULE", "tests.fakes.nobody")
        assert not run(ready_node("n1"))
        assert not list((subject.speed_file(capacity()).parent).glob("*.json"))

    def test_a_worker_that_ends_measures_nothing(self, quiet):
        stopping = threading.Event()
        stopping.set()
        assert not run(ready_node("n1"), stopping=stopping)

    def test_another_incarnation_is_told_nothing(self, quiet):
        node = ready_node("n1")
        Node.objects.filter(pk=node.pk).update(incarnation="n1:2:2")
        assert not run(node)
