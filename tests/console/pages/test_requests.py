"""The log of requests, and one request in full."""

import datetime as dt

import pytest
from django.urls import reverse

from console.pages.deployments.outcomes import outcome_of
from console.pages.deployments.waterfall import speed, waterfall
from models_app.core.clock import now
from models_app.deployments.models import RequestRecord
from models_app.jobs.models import Job
from tests.factories.deployments import call_of, live, serving


@pytest.fixture
def deployment(ana, team):
    return serving(ana, team)


@pytest.fixture
def client(ana, client_for):
    return client_for(ana)


def log(client, **query):
    return client.get(reverse("deployment_requests", args=["research", "writer"]), query)


def one(client, request_id="req-1", **query):
    return client.get(reverse("deployment_request", args=["research", "writer", request_id]), query)


def ids(answer):
    return [record.request_id for record in answer.context["records"]]


class TestLog:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"outcome": "failed"}, ["bad"]),
            ({"outcome": "502"}, ["bad"]),
            ({"mark": "degraded"}, ["less"]),
            ({"mark": "resumed"}, ["bad"]),
            ({"slower_ms": "1000"}, ["bad"]),
            ({"cache": "hit"}, ["kept"]),
            ({"last": "24h"}, ["kept", "less", "bad"]),
            ({"request": "ol"}, ["old"]),
            ({"revision": "7"}, []),
        ],
    )
    def test_filters(self, client, deployment, query, found):
        call_of(deployment, "old", at=now() - dt.timedelta(days=3))
        call_of(deployment, "bad", status=502, outcome="replica_lost", total_ms=2000, resumes=1)
        call_of(deployment, "less", degraded="ngram")
        call_of(deployment, "kept", cache="hit")

        page = log(client, **query)

        assert ids(page) == found
        if not found:
            assert b"No request is like that" in page.content

    def test_the_menus_offer_what_there_is_and_what_was_chosen(self, client, ana, deployment):
        replica = live(deployment)[0]
        call_of(deployment, user=ana, replica=replica, outcome="length")

        page = log(client, replica=str(replica.pk), user="gone@example.org")

        menus = {menu["name"]: dict(menu["options"]) for menu in page.context["filters"]}
        assert {"failed", "length"} <= set(menus["outcome"])
        assert menus["replica"] == {replica.pk: str(replica.pk)}
        assert set(menus["user"]) == {ana.email, "gone@example.org"}
        assert menus["revision"] == {1: "r1"}

    @pytest.mark.parametrize(
        "query",
        [{"revision": "x"}, {"slower_ms": "soon"}, {"replica": "9" * 40}, {"cache": "warm"}],
    )
    def test_what_cannot_be_filtered_by_is_said(self, client, deployment, query):
        page = log(client, **query)
        assert page.status_code == 422
        assert b"This filter cannot be used" in page.content

    @pytest.mark.parametrize("cursor", ["x", "-1", "9" * 40, "\u0662"])
    def test_a_wrong_cursor_is_the_beginning(self, client, deployment, cursor):
        call_of(deployment)
        assert ids(log(client, cursor=cursor)) == ["req-1"]

    def test_pages_through_without_counting(self, client, deployment):
        for n in range(120):
            call_of(deployment, f"req-{n:03}")
        seen, query = [], {}
        while True:
            page = log(client, **query)
            seen += ids(page)
            if not page.context["next_cursor"]:
                break
            query = {"cursor": page.context["next_cursor"]}
        assert seen == [f"req-{n:03}" for n in range(119, -1, -1)]


class TestOne:
    def test_shows_what_was_asked_who_answered_and_how(self, client, ana, deployment):
        replica = live(deployment)[0]
        call_of(
            deployment, user=ana, replica=replica, rule="german", adapter="polite", stream=True,
            node="node-1",
            gateway_wait_ms=20, wake_ms=5, queue_ms=10, prefill_ms=30, first_token_ms=60,
            total_ms=160, cached_tokens=4, completion_tokens=11, retries=1,
            detail="replica 7: 503; other/model: replicas_busy",
        )  # fmt: skip

        page = one(client).content.decode()

        for part in (
            "german",
            "polite",
            "Replica 7 had no room (503).",
            "Prompts and answers are not kept.",
        ):
            assert part in page
        assert reverse("revision_detail", args=["research", "writer", 1]) in page
        assert reverse("node_detail", args=["node-1"]) in page
        assert reverse("job_detail", args=[replica.job_id]) in page
        # Its job may have moved since; the answer came from where it was then.
        Job.objects.filter(pk=replica.job_id).update(node_name="node-9")
        moved = one(client).content.decode()
        assert reverse("node_detail", args=["node-1"]) in moved
        assert "node-9" not in moved
        assert "100.0 <span" in page  # tokens a second while writing
        assert " style=" not in page

    def test_a_bare_record_is_shown_too(self, client, deployment):
        call_of(deployment, revision=None, status=503, outcome="no_replica_ready", total_ms=0)
        page = one(client)
        assert page.status_code == 200
        assert b"No replica was ready in time" in page.content

    def test_ids_are_the_callers_choice(self, client, deployment):
        strange = "a/b:c.d-e"
        call_of(deployment, strange)
        row = call_of(deployment, strange, mirrored=True)

        assert one(client, strange).context["record"].mirrored is False
        assert one(client, strange, row=row.pk).context["record"] == row
        assert one(client, strange, row="1x").status_code == 404

    def test_is_not_there_for_others(self, client, client_for, cai, eve, deployment):
        call_of(deployment)
        assert one(client, "req-9").status_code == 404
        assert one(client_for(cai)).status_code == 404
        assert one(client_for(eve)).status_code == 200
        client.logout()
        assert one(client).status_code == 302


def record(**fields):
    given = {"status": 200, "outcome": "stop", "total_ms": 100.0, **fields}
    return RequestRecord(request_id="r", at=now(), **given)


class TestWaterfall:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"stream": True, "first_token_ms": 40.0, "queue_ms": 5.0, "prefill_ms": 20.0},
            {"gateway_wait_ms": 30.0, "wake_ms": 30.0},
            {"gateway_wait_ms": 30.0, "wake_ms": 50.0, "queue_ms": 900.0},
            {"first_token_ms": 400.0, "prefill_ms": 70.0, "queue_ms": 70.0},
            {"cache": "hit", "first_token_ms": 1.0},
            {"status": 500, "outcome": "replica_error", "queue_ms": 3.0},
            {"outcome": "client_closed", "status": 499},
        ],
    )
    def test_parts_add_up_to_the_whole(self, fields):
        parts = waterfall(record(**fields))
        assert sum(part.ms for part in parts) == pytest.approx(100.0)
        assert all(part.ms >= 0 and part.start + part.share <= 100.001 for part in parts)
        starts = [part.start for part in parts]
        assert starts == sorted(starts)

    def test_each_part_is_named(self):
        call = record(
            gateway_wait_ms=20.0, wake_ms=15.0, queue_ms=10.0, prefill_ms=20.0,
            first_token_ms=60.0,
        )  # fmt: skip
        assert [(part.name, part.ms) for part in waterfall(call)] == [
            ("Waiting at the gateway", 5.0),
            ("Waking a replica", 15.0),
            ("Queue at the replica", 10.0),
            ("Reading the prompt", 20.0),
            ("On the way", 10.0),
            ("Writing", 40.0),
        ]

    def test_no_time_at_all(self):
        assert all(part.share == 0 for part in waterfall(record(total_ms=0.0)))

    def test_speed_is_that_of_writing(self):
        assert speed(record(first_token_ms=50.0, completion_tokens=6)) == pytest.approx(100.0)
        assert speed(record(prefill_ms=40.0, queue_ms=10.0, completion_tokens=6)) == 100.0
        assert speed(record(completion_tokens=6)) is None
        assert speed(record(first_token_ms=50.0, completion_tokens=6, cache="hit")) is None
        assert speed(record(first_token_ms=100.0, completion_tokens=6)) is None


@pytest.mark.parametrize(
    ("outcome", "status", "tone", "title"),
    [
        ("stop", 200, "green", "Answered"),
        ("length", 200, "green", "Cut at the limit"),
        ("client_closed", 499, "amber", "The caller hung up"),
        ("replica_lost", 502, "red", "The answer broke off"),
        ("queue_full", 429, "amber", "Every replica was full"),
        ("brand_new", 500, "red", "The model server failed"),
        ("invalid_value", 400, "amber", "Refused"),
        ("", 200, "green", "Answered"),
    ],
)
def test_outcomes_in_words(outcome, status, tone, title):
    said = outcome_of(record(outcome=outcome, status=status))
    assert (said.tone, said.title) == (tone, title)
    assert said.text
