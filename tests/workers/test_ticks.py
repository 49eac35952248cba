"""Every tick that beat sends is a task, and every task of the clock does its own work."""

import pytest

from workers import node, tasks
from workers.celery import app

pytestmark = pytest.mark.nodb


def test_beat_sends_exactly_what_nodes_do():
    beats = app.conf.beat_schedule

    assert {name: row["schedule"] for name, row in beats.items()} == {
        name: every_s for name, (every_s, _action) in node.TICKS.items()
    }


@pytest.mark.parametrize("name", sorted(app.conf.beat_schedule))
def test_a_tick_reaches_its_node(name, monkeypatch):
    heard = []
    monkeypatch.setattr(
        tasks, "current_node", lambda: type("Here", (), {"tick": staticmethod(heard.append)})
    )
    task = app.conf.beat_schedule[name]["task"]

    getattr(tasks, task.removeprefix("workers."))()

    assert heard == [name]
