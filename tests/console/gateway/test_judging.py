"""A judge says which of two answers is better: after both, out of the way, and keeping no text."""

import time

import pytest

from models_app.deployments.models import RequestRecord, Rollout
from models_app.routing.models import MirrorPair
from models_app.routing.statistics import mirror_report
from tests.console.gateway.test_mirroring import pairs
from tests.console.gateway.test_routing import ASK, known, tiny
from tests.factories.routing import route_of
from tests.fakes.gateway import (
    CHAT,
    activate,
    eventually,
    key_of,
    replica_row,
    revision_of,
    serve,
    wait_for_route,
)

__all__ = ["tiny"]

WORSE = ["Par", "cels", " are", " here", "."]


@pytest.fixture
def judge(team, fakes, gateway):
    fake = fakes()
    fake.deployment = serve(team, "judge", fake)
    wait_for_route(gateway, "research/judge", replicas=1)
    return fake


@pytest.fixture
def judged(gateway, chat, tiny, judge, ana, team):
    """The route whose copies go to `tiny`, whose answers differ, judged by likelihood."""
    tiny.words = WORSE
    row = route_of(ana, team, mirror={"deployment": "tiny", "judge": "judge"})
    known(gateway, row)
    return row


@pytest.mark.parametrize(
    ("unlikely", "verdict"), [({"here."}, "loss"), ({"late."}, "win"), (set(), "tie")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_by_likelihood_the_likelier_answer_wins(
    gateway, judged, judge, ana, unlikely, verdict, stream
):
    judge.unlikely = unlikely
    gateway.call(key_of(ana), {**ASK, "stream": stream})
    [pair] = pairs()

    assert (pair.verdict, pair.same) == (verdict, False)
    prompt, own, other = [body["prompt"] for body in judge.calls]
    assert prompt == "user:\nWhere is it?\n\nassistant:\n"
    assert (own, other) == (f"{prompt}Parcels are late.", f"{prompt}Parcels are here.")
    assert {h["x-slipway-priority"] for h in judge.headers} == {"low"}


def test_a_completion_is_judged_as_it_stands(gateway, judged, judge, ana):
    body = {"model": "research/assistant", "prompt": "Where is it?\n"}
    gateway.call(key_of(ana), body, path="/v1/completions")
    assert pairs()[0].verdict == "tie"
    assert judge.calls[2]["prompt"] == "Where is it?\nParcels are here."


def test_its_calls_are_recorded_as_nobodys(gateway, judged, judge, ana):
    reply = gateway.call(key_of(ana), ASK)
    pairs()
    rows = RequestRecord.objects.filter(request_id=reply.request_id)
    row = eventually(lambda: rows.filter(rule="judge").first())
    assert (row.mirrored, row.status, row.model) == (True, 200, "research/judge")
    assert row.deployment == judge.deployment and row.prompt_tokens == 3 * 7


def test_equal_answers_are_a_tie_for_which_nobody_is_asked(gateway, judged, judge, tiny, ana):
    tiny.words = ["Parcels are late."]
    gateway.call(key_of(ana), ASK)
    assert pairs()[0].verdict == "tie"
    assert judge.calls == []


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": "long " * 20_000}]},
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
    ],
)
def test_what_is_no_single_text_is_not_judged(gateway, judged, judge, ana, more):
    gateway.call(key_of(ana), {**ASK, **more})
    [pair] = pairs()
    assert (pair.outcome, pair.verdict, judge.calls) == ("compared", None, [])


@pytest.mark.parametrize("mode", ["drop", "draining", "broken"])
def test_a_judge_that_fails_leaves_the_pair_without_a_verdict(gateway, judged, judge, ana, mode):
    judge.mode = mode
    assert gateway.call(key_of(ana), ASK).status == 200
    [pair] = pairs()
    assert (pair.outcome, pair.same, pair.verdict) == ("compared", False, None)
    assert eventually(lambda: RequestRecord.objects.filter(outcome="judge_failed").exists())


def test_a_judge_that_is_half_busy_is_left_alone(gateway, judged, judge, ana):
    """A seat is taken only where the judge's own callers do not need it."""
    [replica] = gateway.gateway.tables.routes.by_name["research/judge"].active.replicas
    replica.outstanding = replica.slots
    gateway.call(key_of(ana), ASK)
    assert pairs()[0].verdict is None
    assert judge.calls == []


def test_a_slow_judge_slows_neither_callers_nor_copies(gateway, judged, judge, ana):
    judge.pause_s = 0.7
    key = key_of(ana)
    began = time.monotonic()
    assert all(gateway.call(key, ASK).status == 200 for _ in range(7))
    assert time.monotonic() - began < 0.7
    # Four at once; the others are compared and stay without a verdict, at once.
    early = pairs(3)
    assert {(pair.outcome, pair.verdict) for pair in early} == {("compared", None)}
    late = pairs(7)
    assert [pair.verdict for pair in late].count("tie") == 4


def preferring(text):
    """A judge that finds a text better wherever it stands."""
    return lambda body: "1" if text in _first(body) else "2"


def _first(body):
    return body["messages"][0]["content"].split("<answer-1>")[-1].split("</answer-1>")[0]


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        (preferring("late"), "loss"),
        (preferring("here"), "win"),
        (lambda body: "1", "tie"),  # whatever stands first: no preference
        (lambda body: "Hm.", None),
    ],
)
def test_by_question_both_orders_have_to_agree(
    gateway, chat, tiny, judge, ana, team, says, verdict
):
    tiny.words, judge.says = WORSE, says
    mirror = {"deployment": "tiny", "judge": "judge", "judge_by": "question"}
    known(gateway, route_of(ana, team, mirror=mirror))
    gateway.call(key_of(ana), ASK)

    assert pairs()[0].verdict == verdict
    orders = [_first(body).strip() for body in judge.calls]
    assert orders == ["Parcels are late.", "Parcels are here."][: 1 if verdict is None else 2]
    assert judge.calls[0]["structured_outputs"] == {"choice": ["1", "2"]}


def test_the_report_has_the_win_rate_with_its_interval(gateway, judged, tiny, judge, ana):
    judge.unlikely = {"late."}
    key = key_of(ana)
    gateway.call(key, ASK)
    pairs()
    MirrorPair.objects.bulk_create(
        MirrorPair(
            request_id="r", at=pair.at, route=pair.route, outcome="compared", verdict=verdict,
            mirror_deployment=pair.mirror_deployment,
        )
        for pair in MirrorPair.objects.all()
        for verdict in ["win"] * 8 + ["loss"] + ["tie"] * 5 + [None]
    )  # fmt: skip

    report = mirror_report(judged, "tiny").judge
    assert report.plain() == {
        "judged": 15, "wins": 9, "losses": 1, "ties": 5,
        "win_percent": 90.0, "low_percent": 59.6, "high_percent": 98.2,
    }  # fmt: skip


def test_the_copies_of_a_roll_out_are_judged_by_the_same_means(
    gateway, chat, judge, fakes, ana, team
):
    fake = fakes()
    fake.words, judge.unlikely = WORSE, {"here."}
    activate(chat.deployment.active_revision)
    candidate = revision_of(chat.deployment, 2, judge="judge")
    replica_row(candidate, fake)
    Rollout.objects.create(
        deployment=chat.deployment, revision=candidate, strategy="shadow", mirror_percent=100
    )
    routes = gateway.gateway.tables.routes
    eventually(lambda: len(routes.by_name["research/chat"].arms) == 2)
    gateway.call(key_of(ana), CHAT)

    [pair] = pairs()
    assert (pair.route, pair.mirror_revision, pair.verdict) == (None, candidate, "loss")
