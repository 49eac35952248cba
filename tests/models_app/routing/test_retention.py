"""How long calls stay recorded: by days and by number, in portions that nobody waits for."""

import datetime as dt

import psycopg
import pytest
from django.db import connection

from models_app.core import expiry
from models_app.core.clock import now
from models_app.core.expiry import rows_expire
from models_app.deployments.models import RequestRecord
from models_app.deployments.windows import window_figures
from models_app.routing.models import MirrorPair
from models_app.routing.retention import requests_expire, requests_kept
from tests.factories.deployments import call_of, deployment_of, serving

pytestmark = pytest.mark.django_db


def left():
    return sorted(RequestRecord.objects.values_list("request_id", flat=True))


def aged(deployment, *days):
    for number, age in enumerate(days):
        call_of(deployment, f"r{number}", at=now() - dt.timedelta(days=age))


@pytest.fixture
def writer(ana, team):
    return deployment_of(ana, team)


class TestDays:
    def test_older_ones_go_with_their_copies(self, writer, settings):
        settings.REQUEST_KEEP_DAYS = 30
        aged(writer, 31, 29, 0)
        for age in (31, 0):
            MirrorPair.objects.create(at=now() - dt.timedelta(days=age), outcome="compared")

        assert requests_expire() == 2
        assert (left(), MirrorPair.objects.count()) == (["r1", "r2"], 1)
        assert requests_expire() == 0

    def test_zero_keeps_them_for_ever(self, writer, settings):
        settings.REQUEST_KEEP_DAYS = 0
        aged(writer, 5000)

        assert requests_expire() == 0

    def test_figures_of_the_last_day_stay(self, ana, team, settings):
        settings.REQUEST_KEEP_DAYS = 1
        row = serving(ana, team)
        aged(row, 40, 2, 0.9, 0.01)
        before = window_figures(row, window="24h").total

        assert requests_expire() == 2
        after = window_figures(row, window="24h").total
        assert (before.requests, after.requests, after.total_ms) == (2, 2, before.total_ms)


class TestNumber:
    def test_the_newest_stay(self, writer, settings):
        settings.REQUEST_MOST = 2
        aged(writer, 0, 0, 0, 0, 0)

        assert requests_expire() == 3
        assert left() == ["r3", "r4"]
        assert requests_kept().rows == 2

    def test_zero_is_no_limit(self, writer, settings):
        settings.REQUEST_MOST = 0
        aged(writer, 0, 0, 0)

        assert requests_expire() == 0


class TestPortions:
    def test_one_round_takes_several_and_ends_in_time(self, writer, monkeypatch):
        monkeypatch.setattr(expiry, "CHUNK", 2)
        aged(writer, 9, 9, 9, 9, 9)

        assert rows_expire(RequestRecord, days=1, most=0, budget_s=0) == 0
        assert rows_expire(RequestRecord, days=1, most=0) == 5

    @pytest.mark.django_db(transaction=True)
    def test_waits_for_nobody(self, ana, team):
        aged(deployment_of(ana, team), 9, 9)
        given = connection.get_connection_params()
        names = ("host", "port", "user", "password", "dbname")
        with psycopg.connect(**{name: given[name] for name in names}) as other:
            other.execute(
                "SELECT 1 FROM deployments_requestrecord WHERE request_id = 'r0' FOR UPDATE"
            )
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '200ms'")
            assert rows_expire(RequestRecord, days=1, most=0) == 1
            assert left() == ["r0"]
        assert rows_expire(RequestRecord, days=1, most=0) == 1


class TestPages:
    def test_tell_how_long(self, ana, root, writer, client_for, settings):
        settings.REQUEST_KEEP_DAYS, settings.REQUEST_MOST = 17, 12_345
        aged(writer, 3)

        store = client_for(root).get("/storage/").content.decode()
        log = client_for(ana).get("/deployments/research/writer/requests/").content.decode()

        assert "17 days" in store
        assert "12,345" in store
        assert "Rows go after 17 days." in log
