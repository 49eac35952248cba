"""Which calls of the log are wanted."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.core.errors import NotFound
from models_app.deployments.request_log import (
    RequestFilter,
    recent_facets,
    requests_found,
    requests_with_id,
)
from tests.factories.deployments import call_of, live, revision_of, serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


@pytest.fixture
def log(ana, ben, deployment):
    """One call of each kind, and another deployment's."""
    replica = live(deployment)[0]
    other = revision_of(ana, deployment)
    call_of(deployment, "plain", user=ana, replica=replica)
    call_of(deployment, "other-revision", revision=other)
    call_of(deployment, "lost", status=200, outcome="replica_lost", resumes=2)
    call_of(deployment, "broken", status=500, outcome="replica_error", total_ms=4000)
    call_of(deployment, "busy", status=429, outcome="replicas_busy", user=ben)
    call_of(deployment, "kept", cache="hit")
    call_of(deployment, "missed", cache="miss", cached_tokens=8)
    call_of(deployment, "less", degraded="ngram")
    call_of(deployment, "copy", mirrored=True)
    call_of(deployment, "old", at=now() - dt.timedelta(days=2))
    return replica


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"outcome": "failed"}, {"lost", "broken"}),
        ({"outcome": "refused"}, {"busy"}),
        ({"outcome": "replicas_busy"}, {"busy"}),
        ({"status": 500}, {"broken"}),
        ({"revision": 2}, {"other-revision"}),
        ({"cache": "hit"}, {"kept"}),
        ({"cache": "miss"}, {"missed"}),
        ({"reused": True}, {"missed"}),
        ({"degraded": True}, {"less"}),
        ({"resumed": True}, {"lost"}),
        ({"mirrored": True}, {"copy"}),
        ({"slower_ms": 4000}, {"broken"}),
        ({"request_id": "bro"}, {"broken"}),
        ({"request_id": "%"}, set()),
        ({"outcome": "failed", "resumed": False}, {"broken"}),
        ({"outcome": "no such"}, set()),
    ],
)
def test_filters(ana, deployment, log, wanted, ids):
    rows = requests_found(actor=ana, deployment=deployment, wanted=RequestFilter(**wanted))
    assert {row.request_id for row in rows} == ids


def test_by_person_replica_and_time(ana, ben, deployment, log):
    def found(**wanted):
        rows = requests_found(actor=ana, deployment=deployment, wanted=RequestFilter(**wanted))
        return {row.request_id for row in rows}

    yesterday = now() - dt.timedelta(days=1)
    assert found(user=ben.email.upper()) == {"busy"}
    assert found(replica=log.pk) == {"plain"}
    assert found(until=yesterday) == {"old"}
    assert "old" not in found(since=yesterday)
    assert found(outcome="answered", since=yesterday) == {
        "plain", "other-revision", "kept", "missed", "less", "copy",
    }  # fmt: skip


def test_what_the_newest_calls_can_be_told_apart_by(ana, ben, deployment, log):
    facets = recent_facets(deployment)
    assert {value for value, _label in facets["user"]} == {ana.email, ben.email}
    assert facets["replica"] == [(log.pk, str(log.pk))]
    assert ("replicas_busy", "replicas_busy") in facets["outcome"]


def test_of_one_id_what_the_caller_got_comes_first(ana, cai, deployment):
    call_of(deployment, "req-1")
    call_of(deployment, "req-1", mirrored=True)

    found = requests_with_id(actor=ana, deployment=deployment, request_id="req-1")

    assert [row.mirrored for row in found] == [False, True]
    for actor, request_id in ((ana, "req-2"), (ana, "\0"), (cai, "req-1")):
        with pytest.raises(NotFound):
            requests_with_id(actor=actor, deployment=deployment, request_id=request_id)
