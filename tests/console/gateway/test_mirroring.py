"""Copies of requests: what is compared, what is dropped, and that callers never notice."""

import time

import pytest

from models_app.deployments.models import RequestRecord, Rollout
from models_app.routing.models import MirrorPair
from models_app.routing.statistics import mirror_report
from tests.console.gateway.test_routing import ASK, known, tiny
from tests.factories.routing import route_of
from tests.fakes.gateway import CHAT, eventually, key_of, replica_row, revision_of

__all__ = ["tiny"]


def pairs(count=1):
    return eventually(lambda: len(rows := list(MirrorPair.objects.all())) >= count and rows)


@pytest.fixture
def mirrored(gateway, chat, tiny, ana, team):
    row = route_of(ana, team, mirror={"deployment": "tiny", "percent": 100})
    known(gateway, row)
    return row


@pytest.mark.parametrize("stream", [False, True])
def test_both_answers_are_compared(gateway, mirrored, chat, tiny, ana, stream):
    reply = gateway.call(key_of(ana), {**ASK, "stream": stream})
    [pair] = pairs()

    assert (pair.outcome, pair.same, pair.route) == ("compared", True, mirrored)
    assert pair.alike == pair.length == len("Parcels are late.")
    assert pair.total_ms > 0 and pair.mirror_total_ms > 0
    assert pair.mirror_deployment == tiny.deployment and pair.request_id == reply.request_id
    # Asked as a whole: the copy needs no stream.
    assert "stream" not in tiny.calls[0] and len(tiny.calls) == len(chat.calls) == 1
    rows = eventually(lambda: len(r := list(RequestRecord.objects.order_by("mirrored"))) == 2 and r)
    assert [row.mirrored for row in rows] == [False, True]
    assert rows[1].completion_tokens == 5 and rows[1].deployment == tiny.deployment


def test_what_differs_is_told_without_its_text(gateway, mirrored, tiny, ana):
    tiny.words = ["Par", "cels", " are", " here", "."]
    gateway.call(key_of(ana), ASK)
    [pair] = pairs()

    assert (pair.same, pair.alike, pair.length) == (False, len("Parcels are "), 17)
    report = mirror_report(mirrored, "tiny")
    assert (report.copies, report.compared, report.same_percent) == (1, 1, 0.0)
    assert report.alike_percent == pytest.approx(100 * 12 / 17)
    assert report.p50_ms and report.mirror_p50_ms


def test_a_slow_mirror_slows_nobody(gateway, mirrored, chat, tiny, ana):
    tiny.pause_s = 2
    key = key_of(ana)
    began = time.monotonic()
    assert all(gateway.call(key, ASK).status == 200 for _ in range(12))
    assert time.monotonic() - began < 2  # not even one of them has waited for its copy
    rows = pairs(12)

    # Eight at once, the others are dropped and counted.
    outcomes = [pair.outcome for pair in rows]
    assert sorted(set(outcomes)) == ["compared", "dropped"] and outcomes.count("compared") == 8


@pytest.mark.parametrize("mode", ["drop", "draining", "broken"])
def test_a_mirror_that_fails_is_recorded_and_nothing_else(gateway, mirrored, tiny, ana, mode):
    tiny.mode = mode
    assert gateway.call(key_of(ana), ASK).status == 200
    [pair] = pairs()
    assert (pair.outcome, pair.same) == ("failed", None)


def test_a_request_that_failed_is_not_copied(gateway, mirrored, chat, tiny, ana):
    gateway.call(key_of(ana), {**ASK, "max_tokens": 0})
    gateway.call(key_of(ana), ASK)
    assert len(pairs()) == len(tiny.calls) == 1


def test_a_share_of_the_requests_is_copied(gateway, chat, tiny, ana, team):
    known(gateway, route_of(ana, team, mirror={"deployment": "tiny", "percent": 50}))
    key = key_of(ana)
    for _ in range(40):
        gateway.call(key, ASK)
    copies = eventually(lambda: MirrorPair.objects.count() > 4 and MirrorPair.objects.count())
    assert 5 <= copies <= 35  # four and a half standard deviations


def test_the_candidate_of_a_roll_out_gets_copies_by_the_same_means(gateway, chat, fakes, ana, team):
    fake = fakes()
    candidate = revision_of(chat.deployment, 2)
    replica_row(candidate, fake)
    Rollout.objects.create(
        deployment=chat.deployment, revision=candidate, strategy="shadow", mirror_percent=100
    )
    routes = gateway.gateway.tables.routes
    eventually(lambda: len(routes.by_name["research/chat"].arms) == 2)
    assert gateway.call(key_of(ana), CHAT).status == 200
    [pair] = pairs()

    assert (pair.route, pair.mirror_revision, pair.same) == (None, candidate, True)
