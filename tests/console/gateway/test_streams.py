"""Events on their way through, however the network cuts them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.gateway.errors import GatewayError
from console.gateway.openai import parse_ask
from console.gateway.streams import EventStream, Usage

pytestmark = pytest.mark.nodb


def event(body: dict) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


TRICKY = ['say ,"usage":{"prompt_tokens":9}', '"choices":[]', "data: [DONE]\n\n", '"usage":{', "é"]
CHUNKS = [
    {
        "choices": [{"delta": {"content": text}, "finish_reason": None if n else "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": n + 1},
    }
    for n, text in enumerate(TRICKY)
]
LAST = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(TRICKY)}}
DONE = b"data: [DONE]\n\n"
ALL = b"".join(map(event, [*CHUNKS, LAST])) + DONE


def without_usage(chunk: dict) -> dict:
    return {"choices": chunk["choices"]}


EXPECTED = {
    Usage.REMOVE: b"".join(event(without_usage(c)) for c in CHUNKS) + DONE,
    Usage.FINAL: b"".join(event({**c, "usage": None}) for c in CHUNKS) + event(LAST) + DONE,
    Usage.KEEP_RUNNING: b"".join(map(event, CHUNKS)) + DONE,
    Usage.KEEP: ALL,
}


@pytest.mark.parametrize("mode", list(Usage))
@given(cuts=st.lists(st.integers(0, len(ALL)), max_size=40))
def test_cuts_do_not_change_what_the_client_sees(mode, cuts):
    stream, sent, at = EventStream(mode), [], 0
    for cut in [*sorted(cuts), len(ALL)]:
        sent.append(stream.feed(ALL[at:cut]))
        at = cut

    assert b"".join(sent) == EXPECTED[mode]
    assert all(not part or part.endswith(b"\n\n") for part in sent)
    assert stream.tokens() == (3, len(TRICKY))
    assert stream.done and not stream.failed and stream.finish == "stop"


def test_an_incomplete_event_is_never_sent():
    stream = EventStream(Usage.REMOVE)

    sent = stream.feed(event(CHUNKS[0]) + b'data: {"cho')

    assert sent == event(without_usage(CHUNKS[0]))
    assert stream.events == 1 and not stream.done


def test_events_stand_in_for_counts_that_were_never_told():
    stream = EventStream(Usage.REMOVE)
    stream.feed(event({"choices": [{"delta": {"content": "a"}}]}) * 4)

    assert stream.tokens() == (0, 4)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_body_that_does_not_stream_goes_to_the_replica_as_it_came(value):
    raw = json.dumps({"model": "a/b", "value": value}).encode()

    assert parse_ask(raw).body == raw


def test_streaming_adds_only_the_options():
    asked = {"model": "a/b", "stream": True, "stream_options": {"x": 1}, "text": "\ud800 é"}
    options = {"x": 1, "include_usage": True, "continuous_usage_stats": True}

    for seed in ({"seed": 7}, {"temperature": 0}):
        body = json.loads(parse_ask(json.dumps({**asked, **seed}).encode()).body)
        assert body == {**asked, **seed, "stream_options": options}


def test_an_answer_that_is_drawn_gets_a_seed_so_that_it_can_be_resumed():
    asked = {"model": "a/b", "stream": True, "seed": None}

    seeds = {json.loads(parse_ask(json.dumps(asked).encode()).body)["seed"] for _ in range(3)}

    assert len(seeds) == 3 and all(0 <= seed < 2**53 for seed in seeds)


COMMENTED = [b": 0 %d\n%s" % (n, event(chunk)) for n, chunk in enumerate(CHUNKS)]
MARKED = b"".join(COMMENTED) + event(LAST) + DONE


@pytest.mark.parametrize("mode", list(Usage))
@given(cuts=st.lists(st.integers(0, len(MARKED)), max_size=40))
def test_comments_of_the_replica_never_reach_the_client(mode, cuts):
    stream, sent, at = EventStream(mode), [], 0
    for cut in [*sorted(cuts), len(MARKED)]:
        sent.append(stream.feed(MARKED[at:cut]))
        at = cut

    assert b"".join(sent) == EXPECTED[mode]
    assert stream.progress.known


def test_a_client_cannot_say_what_only_the_gateway_may():
    with pytest.raises(GatewayError) as caught:
        parse_ask(b'{"model": "a/b", "slipway_resume": {}}')

    assert (caught.value.status, caught.value.param) == (400, "slipway_resume")


@pytest.mark.parametrize(
    "raw", [b'{"model": "a/b", "model": "c/d"}', b'\xff{"model": "a/b"}', b'{"a": "\xe9"}']
)
def test_bodies_that_readers_could_take_differently_are_refused(raw):
    with pytest.raises(GatewayError) as caught:
        parse_ask(raw)

    assert caught.value.code == "invalid_json"
