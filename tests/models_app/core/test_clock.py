"""Every process goes by the clock of the database."""

import datetime as dt
import time

import pytest
from django.db import connection

from models_app.core import clock


@pytest.fixture(autouse=True)
def restored():
    before = clock.reading()
    yield
    clock.follow(before)


def test_counts_on_from_what_the_server_showed():
    clock.follow(clock.Reading(1_000_000_000.0, time.monotonic() - 60))

    passed = clock.now() - dt.datetime(2001, 9, 9, 1, 47, 40, tzinfo=dt.UTC)
    assert 0 <= passed.total_seconds() < 5


def test_setting_the_machine_s_clock_moves_nothing(monkeypatch):
    clock.follow(clock.Reading(1_000_000_000.0, time.monotonic()))
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert clock.now().year == 2001


def test_goes_by_the_machine_until_a_server_was_asked():
    clock.follow(None)

    assert abs(clock.now().timestamp() - time.time()) < 5


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_shows_the_server_s_time():
    long_ago = time.monotonic() - clock.FOLLOW_EVERY_S - 1
    clock.follow(clock.Reading(1_000_000_000.0, long_ago))
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (server,) = cursor.fetchone()

    assert abs((clock.now() - server).total_seconds()) < 5
