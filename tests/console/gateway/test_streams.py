"""Events on their way through, however the network cuts them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

    body = json.loads(parse_ask(json.dumps(asked).encode()).body)

    options = {"x": 1, "include_usage": True, "continuous_usage_stats": True}
    assert body == {**asked, "stream_options": options}
