"""Figures of a deployment over the last quarter of an hour, hour and day."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.core.clock import now
from models_app.deployments import windows
from models_app.deployments.windows import window_figures
from tests.factories.deployments import call_of, revision_of, serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


def test_without_a_call_nothing_is_claimed(deployment):
    total = window_figures(deployment).total
    assert (total.requests, total.requests_per_s, total.tokens_per_s) == (0, 0, 0)
    assert total.first_token_ms is total.total_ms is total.answer_tokens_per_s is None
    assert total.error_percent is total.answer_hit_percent is total.prefix_percent is None


def test_percentiles_shares_and_rates(deployment):
    for n in range(1, 101):
        call_of(
            deployment, f"req-{n}", stream=True, first_token_ms=n, total_ms=n + 100.0,
            cached_tokens=5 if n <= 50 else 0, completion_tokens=11,
        )  # fmt: skip
    call_of(deployment, "bad", status=500, total_ms=9e6, completion_tokens=0)
    call_of(deployment, "refused", status=429, total_ms=0.1, completion_tokens=0)
    call_of(deployment, "hit", cache="hit", completion_tokens=0, prompt_tokens=1000)
    call_of(deployment, "miss", cache="miss", completion_tokens=0, prompt_tokens=0)
    call_of(deployment, "copy", mirrored=True, status=500)

    total = window_figures(deployment, window="15m").total

    assert (total.requests, total.errors, total.refused) == (104, 1, 1)
    assert total.first_token_ms == pytest.approx((50.5, 95.05, 99.01))
    # Failures and refusals are no whole answers.
    assert total.total_ms[0] == pytest.approx(149.5, abs=2) and total.total_ms[2] < 201
    assert total.answer_tokens_per_s == pytest.approx(100.0)
    assert total.requests_per_s == pytest.approx(104 / 900)
    assert total.tokens_per_s == pytest.approx(1100 / 900)
    assert total.answer_hit_percent == 50.0
    assert total.prefix_percent == pytest.approx(100 * 250 / 1020)


def test_windows_end_where_they_say(deployment):
    for minutes in (1, 20, 120, 3000):
        call_of(deployment, f"req-{minutes}", at=now() - dt.timedelta(minutes=minutes))

    counts = {
        name: window_figures(deployment, window=name).total.requests
        for name in ("15m", "1h", "24h", "nonsense")
    }

    assert counts == {"15m": 1, "1h": 2, "24h": 3, "nonsense": 1}
    series = window_figures(deployment, window="1h").series
    assert (sum(series), series[-1], series[19]) == (2, 1, 1)


def test_each_revision_has_its_own(ana, deployment):
    newer = revision_of(ana, deployment)
    call_of(deployment, "a", total_ms=10)
    call_of(deployment, "b", total_ms=30, revision=newer, status=500)
    call_of(deployment, "c", revision=None, status=503)

    found = window_figures(deployment)

    assert [(number, calls.requests) for number, calls in found.revisions] == [(2, 1), (1, 1)]
    assert dict(found.revisions)[2].error_percent == 100.0
    assert found.total.requests == 3


def test_of_too_many_the_newest_are_counted_and_rates_stay_true(deployment, monkeypatch):
    monkeypatch.setattr(windows, "MOST", 10)
    for n in range(20):
        call_of(deployment, f"req-{n}", at=now() - dt.timedelta(seconds=n * 10))

    found = window_figures(deployment, window="24h")

    assert found.cut and found.total.requests == 10
    assert found.total.requests_per_s == pytest.approx(10 / 90, rel=0.05)


def test_one_query_reads_the_log(deployment):
    call_of(deployment)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        window_figures(deployment)
    asked = [query for query in queries if "requestrecord" in query["sql"]]
    assert len(asked) == 1
