"""Signals that come close together are told together; none is lost."""

import threading

import pytest

from models_app.jobs import bell
from models_app.jobs.bell import Bell
from tests.waiting import WAIT_S


class Rung:
    def __init__(self):
        self.heard: list[tuple[str, int]] = []
        self.changed = threading.Condition()

    def __call__(self, name, count):
        with self.changed:
            self.heard.append((name, count))
            self.changed.notify_all()

    def until(self, total):
        with self.changed:
            assert self.changed.wait_for(lambda: sum(c for _n, c in self.heard) >= total, WAIT_S)
        return self.heard


@pytest.fixture
def rung():
    return Rung()


def test_the_first_rings_at_once(rung):
    Bell(rung).push("a", 1)

    assert rung.heard == [("a", 1)]


def test_those_that_follow_closely_ring_together(rung, monkeypatch):
    monkeypatch.setattr(bell, "GAP_S", 0.3)
    ours = Bell(rung)
    for _ in range(5):
        ours.push("a", 1)

    assert rung.until(5) == [("a", 1), ("a", 4)]


def test_nodes_do_not_wait_for_each_other(rung, monkeypatch):
    monkeypatch.setattr(bell, "GAP_S", 60)
    ours = Bell(rung)
    ours.push("a", 1)
    ours.push("b", 2)

    assert rung.heard == [("a", 1), ("b", 2)]


def test_none_is_lost_among_threads(rung):
    ours = Bell(rung)
    threads = [
        threading.Thread(target=lambda: [ours.push("a", 1) for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(count for _name, count in rung.until(1600)) == 1600
