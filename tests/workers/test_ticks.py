"""What happens by the clock: beat sends exactly the ticks that a node knows."""

import pytest

from workers import tasks
from workers.celery import app
from workers.node import TICKS

pytestmark = pytest.mark.nodb


def test_beat_sends_every_tick_as_often_as_nodes_expect_it():
    sent = {name: row["schedule"] for name, row in app.conf.beat_schedule.items()}

    assert sent == {name: every_s for name, (every_s, _action) in TICKS.items()}


@pytest.mark.parametrize("name", sorted(TICKS))
def test_every_tick_has_its_task(name):
    row = app.conf.beat_schedule[name]
    assert row["task"] == getattr(tasks, name).name
