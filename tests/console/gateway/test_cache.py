"""Answers that were given before: same bytes, same team, same revision, whichever form is asked."""

import json
import threading

import pytest

from console.gateway import forms
from tests.factories.access import MembershipFactory, TeamFactory, UserFactory
from tests.fakes.gateway import (
    CHAT,
    activate,
    eventually,
    key_of,
    record_of,
    replica_row,
    revision_of,
    serve,
    wait_for_route,
)

COLD = {**CHAT, "temperature": 0}
STREAM = {**COLD, "stream": True}


@pytest.fixture
def kept(team, fakes, gateway):
    """research/chat, which keeps answers."""
    fake = fakes()
    fake.deployment = serve(team, "chat", fake, response_cache_s=60)
    wait_for_route(gateway, "research/chat", 1)
    return fake


def stored(gateway) -> bool:
    """Whether the answers on their way to Redis have arrived."""
    return not gateway.gateway.answers.flights


def ask(gateway, key, body=COLD, **headers):
    reply = gateway.call(key, body, **headers)
    eventually(lambda: stored(gateway))
    return reply


class TestHit:
    @pytest.mark.parametrize("body", [COLD, STREAM], ids=["whole", "stream"])
    def test_has_the_same_bytes_and_asks_no_replica(self, gateway, kept, ana, body):
        key = key_of(ana)

        first, second = ask(gateway, key, body), ask(gateway, key, {**body, "user": "someone"})

        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
        assert second.body == first.body and second.status == 200
        assert len(kept.calls) == 1
        row = record_of(second.request_id)
        assert (row.cache, row.outcome, row.completion_tokens) == ("hit", "stop", 5)
        assert row.replica is None and row.deployment_id == kept.deployment.pk

    def test_serves_a_stream_from_a_whole_answer_and_the_other_way_round(self, gateway, kept, ana):
        key = key_of(ana)
        whole = ask(gateway, key, COLD)

        stream = ask(gateway, key, {**STREAM, "stream_options": {"include_usage": True}})

        assert stream.headers["x-cache"] == "hit" and len(kept.calls) == 1
        assert stream.events[-1] == "data: [DONE]" and b'"usage":{' in stream.body
        assert json.loads(forms.as_whole(forms.as_events(whole.body))) == whole.json

    def test_is_had_by_equal_requests_at_the_same_time(self, gateway, kept, ana):
        kept.pause_s = 0.3
        key, replies = key_of(ana), []
        threads = [
            threading.Thread(target=lambda: replies.append(gateway.call(key, COLD)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(kept.calls) == 1
        assert {reply.body for reply in replies} == {replies[0].body}
        assert sorted(reply.headers["x-cache"] for reply in replies) == ["hit"] * 5 + ["miss"]


class TestMiss:
    @pytest.mark.parametrize(
        "change",
        [{"temperature": 0.7}, {"temperature": None}, {"temperature": False}],
        ids=str,
    )
    def test_where_chance_decides(self, gateway, kept, ana, change):
        key = key_of(ana)

        replies = [ask(gateway, key, {**COLD, **change}) for _ in range(2)]

        assert len(kept.calls) == 2 and all("x-cache" not in r.headers for r in replies)

    def test_where_anything_that_matters_differs(self, gateway, kept, ana):
        key = key_of(ana)
        bodies = [COLD, {**COLD, "max_tokens": 3}, {**COLD, "seed": 1}, {**CHAT, "seed": 1}]

        replies = [ask(gateway, key, body) for body in bodies]

        assert [reply.headers["x-cache"] for reply in replies] == ["miss"] * 4

    def test_no_team_sees_anothers(self, gateway, kept, ana, team):
        other = UserFactory()
        MembershipFactory(user=other, team=team, role="viewer")
        MembershipFactory(user=other, team=TeamFactory(), role="viewer")
        ask(gateway, key_of(ana), COLD)

        reply = ask(gateway, key_of(other), COLD)

        assert reply.headers["x-cache"] == "miss" and len(kept.calls) == 2

    def test_a_new_revision_has_no_old_answers(self, gateway, kept, ana, fakes):
        key, fresh = key_of(ana), fakes()
        ask(gateway, key, COLD)
        revision = revision_of(kept.deployment, 2, response_cache_s=60)
        replica_row(revision, fresh)
        activate(revision)
        routes = gateway.gateway.tables.routes
        eventually(lambda: routes.by_name["research/chat"].active.revision_id == revision.pk)

        assert ask(gateway, key, COLD).headers["x-cache"] == "miss"
        assert len(fresh.calls) == 1

    @pytest.mark.parametrize("mode", ["broken", "failing", "die"])
    def test_what_failed_is_not_kept(self, gateway, kept, ana, mode):
        key = key_of(ana)
        kept.mode = mode
        gateway.call(key, STREAM)
        kept.mode = "ok"

        eventually(lambda: ask(gateway, key, STREAM).body.endswith(b"data: [DONE]\n\n"))

    def test_an_answer_that_is_too_large_is_not_kept(self, gateway, kept, ana, monkeypatch):
        monkeypatch.setattr("console.gateway.cache.ENTRY_BYTES", 10)
        key = key_of(ana)

        assert [ask(gateway, key).headers["x-cache"] for _ in range(2)] == ["miss"] * 2

    def test_redis_that_is_away_costs_nothing_but_the_computing(self, gateway, kept, ana):
        answers = gateway.gateway.answers
        pool = answers._redis.connection_pool
        pool.connection_kwargs["port"] = 1
        pool._available_connections.clear()
        key = key_of(ana)

        replies = [ask(gateway, key, COLD) for _ in range(2)]

        assert [reply.status for reply in replies] == [200, 200]
        assert [reply.headers["x-cache"] for reply in replies] == ["miss", "miss"]


class TestSharing:
    def test_teams_share_where_the_configuration_says_so(self, gateway, team, ana, fakes):
        fake = fakes()
        serve(team, "chat", fake, response_cache_s=60, share_answers=True)
        wait_for_route(gateway, "research/chat", 1)
        other = UserFactory()
        MembershipFactory(user=other, team=team, role="viewer")
        MembershipFactory(user=other, team=TeamFactory(), role="viewer")
        ask(gateway, key_of(ana), COLD)

        assert ask(gateway, key_of(other), COLD).headers["x-cache"] == "hit"


class TestForms:
    def test_a_stream_of_text_with_scores_is_put_together(self):
        frame = {"id": "c", "created": 1, "model": "m", "system_fingerprint": "f"}
        chunks = [
            {"text": "Par", "logprobs": {"tokens": ["Par"], "token_logprobs": [-1]}},
            {"text": "cel", "logprobs": {"tokens": ["cel"], "token_logprobs": [-2]}},
        ]
        chunks = [{"index": 0, **c, "finish_reason": None} for c in chunks]
        chunks[-1]["finish_reason"] = "length"
        events = [{**frame, "object": "text_completion", "choices": [c]} for c in chunks]
        last = {**frame, "object": "text_completion", "choices": [], "usage": {"total_tokens": 3}}
        raw = b"".join(forms._event(e) for e in [*events, last]) + forms.DONE

        whole = json.loads(forms.as_whole(raw))

        assert whole["choices"] == [
            {
                "index": 0,
                "text": "Parcel",
                "logprobs": {"tokens": ["Par", "cel"], "token_logprobs": [-1, -2]},
                "finish_reason": "length",
            }
        ]
        assert whole["usage"] == {"total_tokens": 3}

    def test_calls_of_tools_are_left_to_the_model(self):
        said = {"role": "assistant", "content": None, "tool_calls": [{}]}
        choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
        body = {"object": "chat.completion", "choices": [choice]}

        assert forms.as_events(json.dumps(body).encode()) is None
