"""A tick fires once, however many processes hear it."""

import threading

import pytest
from django.db import connection

from models_app.jobs.models import Tick
from models_app.jobs.ticks import tick_claim
from tests.waiting import WAIT_S


@pytest.mark.django_db
def test_fires_again_only_when_its_time_has_come():
    assert tick_claim("sweep", 5)
    assert not tick_claim("sweep", 5)
    assert tick_claim("tidy", 600)

    Tick.objects.filter(name="sweep").update(fired_at="2020-01-01T00:00:00Z")
    assert tick_claim("sweep", 5)


@pytest.mark.django_db(transaction=True)
def test_goes_to_one_of_many_that_ask_at_once():
    won, start = [], threading.Barrier(6)

    def ask():
        start.wait(WAIT_S)
        won.append(tick_claim("sweep", 5))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert sorted(won) == [False] * 5 + [True]
