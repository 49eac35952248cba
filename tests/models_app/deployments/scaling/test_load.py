"""What gateways report of their work, and what is known of it."""

import itertools

import pytest
import redis

from models_app.deployments import load
from models_app.deployments.load import Load, load_now, load_report

pytestmark = pytest.mark.nodb
_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def nobody_else(settings):
    """No report of another test is seen."""
    settings.CHANNEL_PREFIX = f"{settings.CHANNEL_PREFIX}-load-{next(_prefixes)}"


def test_reports_of_gateways_add_up():
    load_report("one", {1: Load(running=3, waiting=1, replicas={7: 2, 8: 1}), 2: Load(running=1)})
    load_report("two", {1: Load(running=2, replicas={8: 2})})
    found = load_now()
    assert found[1].running == 5
    assert found[1].waiting == 1
    assert found[1].replicas == {7: 2, 8: 3}
    assert found[2].total == 1
    assert 3 not in found


def test_a_report_replaces_the_one_before_it():
    load_report("one", {1: Load(running=3)})
    load_report("one", {})
    assert load_now() == {}


def test_that_nobody_reports_is_not_the_same_as_that_nobody_asks():
    assert load_now() is None


def test_a_gateway_that_is_gone_is_forgotten():
    load_report("one", {1: Load(running=3)})
    load_report("two", {1: Load(running=1)})
    client = load._client()
    assert 0 < client.ttl(load._key("one")) <= load.TTL_S
    client.delete(load._key("one"))
    assert load_now()[1].running == 1
    assert client.smembers(load._key()) == {b"two"}


def test_without_redis_nothing_is_known_and_nothing_breaks(monkeypatch):
    away = redis.Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=1)
    monkeypatch.setattr(load, "_client", lambda: away)
    load_report("one", {1: Load(running=3)})
    assert load_now() is None
