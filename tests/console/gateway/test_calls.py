"""What a caller gets: answers, streams, errors in OpenAI's shape, and one record each."""

import json

import pytest

from console.access.models import ApiToken
from tests.fakes.gateway import CHAT, eventually, key_of, record_of, serve, wait_for_route
from tests.fakes.replica import WORDS

TEXT = "".join(WORDS)


def texts(reply) -> str:
    """The text of a streamed answer."""
    chunks = [json.loads(e.removeprefix("data: ")) for e in reply.events if "[DONE]" not in e]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


class TestAnswer:
    def test_passes_the_replicas_answer_on_and_records_it(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), CHAT)

        assert reply.status == 200
        assert reply.json["choices"][0]["message"]["content"] == TEXT
        assert reply.headers["cache-control"] == "no-store"
        row = record_of(reply.request_id)
        assert (row.status, row.outcome, row.endpoint) == (200, "stop", "chat.completions")
        assert (row.prompt_tokens, row.completion_tokens) == (7, 5)
        assert (row.user, row.deployment_id) == (ana, chat.deployment.pk)
        assert row.revision_id == chat.deployment.active_revision_id
        assert row.replica is not None and row.total_ms > 0 and row.token_prefix.startswith("slip_")

    def test_serves_text_completions(self, gateway, chat, ana):
        reply = gateway.call(
            key_of(ana), {"model": "research/chat", "prompt": "Once"}, "/v1/completions"
        )

        assert reply.json["choices"][0]["text"] == TEXT
        assert record_of(reply.request_id).endpoint == "completions"

    def test_carries_the_callers_request_id_to_the_replica_and_back(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), CHAT, x_request_id="trace-17")

        assert reply.request_id == "trace-17"
        assert chat.request_ids == ["trace-17"]

    def test_replaces_a_request_id_that_could_break_a_log(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), CHAT, x_request_id="a b" * 40)

        assert reply.request_id.startswith("req-")

    def test_passes_the_replicas_own_refusal_on(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), {**CHAT, "max_tokens": 0})

        assert (reply.status, reply.code) == (400, "invalid_value")
        assert reply.headers["x-should-retry"] == "false"
        row = record_of(reply.request_id)
        assert (row.status, row.outcome, row.retries) == (400, "invalid_value", 0)


class TestStream:
    def test_sends_whole_events_to_the_end(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), {**CHAT, "stream": True})

        assert reply.headers["content-type"].startswith("text/event-stream")
        assert texts(reply) == TEXT
        assert reply.events[-1] == "data: [DONE]"
        row = record_of(reply.request_id)
        assert (row.prompt_tokens, row.completion_tokens, row.outcome) == (7, 5, "stop")
        assert row.stream and row.first_token_ms > 0

    def test_hides_usage_from_who_did_not_ask(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), {**CHAT, "stream": True})

        assert b"usage" not in reply.body
        assert chat.calls[0]["stream_options"] == {
            "include_usage": True,
            "continuous_usage_stats": True,
        }

    def test_gives_usage_in_the_last_chunk_to_who_asks(self, gateway, chat, ana):
        body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}

        reply = gateway.call(key_of(ana), body)

        chunks = [json.loads(event.removeprefix("data: ")) for event in reply.events[:-1]]
        assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 5
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 12

    def test_gives_running_usage_to_who_asks(self, gateway, chat, ana):
        options = {"include_usage": False, "continuous_usage_stats": True}

        reply = gateway.call(key_of(ana), {**CHAT, "stream": True, "stream_options": options})

        chunks = [json.loads(event.removeprefix("data: ")) for event in reply.events[:-1]]
        assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 4, 5]


class TestModels:
    def test_lists_what_the_key_may_ask(self, gateway, chat, ana, cai, root, other_team, fakes):
        serve(other_team, "contracts", fakes())
        wait_for_route(gateway, "legal/contracts", 1)

        def listed(user):
            models = gateway.call(key_of(user), path="/v1/models").json["data"]
            return [model["id"] for model in models]

        assert listed(ana) == ["research/chat"]
        assert listed(cai) == ["legal/contracts"]
        assert sorted(listed(root)) == ["legal/contracts", "research/chat"]

    def test_shows_one_by_its_name_with_or_without_an_escaped_slash(self, gateway, chat, ana):
        key = key_of(ana)

        for path in ("/v1/models/research/chat", "/v1/models/research%2Fchat"):
            reply = gateway.call(key, path=path)
            assert (reply.status, reply.json["id"]) == (200, "research/chat")
            assert reply.json["owned_by"] == "research" and reply.json["created"] > 0

    def test_hides_what_is_foreign(self, gateway, chat, cai):
        reply = gateway.call(key_of(cai), path="/v1/models/research/chat")

        assert (reply.status, reply.code) == (404, "model_not_found")


class TestRefusals:
    @pytest.mark.parametrize("key", [None, "", "nonsense", "slip_" + "x" * 43, "page_" + "x" * 60])
    def test_unknown_keys_are_401(self, gateway, chat, key):
        reply = gateway.call(key, CHAT)

        assert (reply.status, reply.code) == (401, "invalid_api_key")
        assert "www-authenticate" in reply.headers and chat.calls == []

    def test_a_key_without_the_scope_is_told_which_one(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana, "read", "write"), CHAT)

        assert (reply.status, reply.code) == (403, "insufficient_scope")
        assert "'infer'" in reply.json["error"]["message"]

    def test_foreign_and_unknown_models_look_the_same(self, gateway, chat, ana, cai):
        foreign = gateway.call(key_of(cai), CHAT)
        unknown = gateway.call(key_of(ana), {**CHAT, "model": "research/none"})

        assert (foreign.status, foreign.code) == (unknown.status, unknown.code)
        assert foreign.status == 404 and foreign.code == "model_not_found"
        assert chat.calls == []
        row = record_of(foreign.request_id)
        assert (row.status, row.user, row.deployment) == (404, cai, None)

    def test_a_key_for_one_team_does_not_open_another(self, gateway, chat, root, other_team):
        reply = gateway.call(key_of(root, team=other_team), CHAT)

        assert reply.status == 404

    def test_a_viewer_may_ask(self, gateway, chat, eve):
        assert gateway.call(key_of(eve), CHAT).status == 200

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", "invalid_json"),
            (b"\xff", "invalid_json"),
            (b"[]", "invalid_json"),
            (b'{"model": NaN}', "invalid_json"),
            (b"[" * 100_000, "invalid_json"),
            (b'{"model": ' + b"9" * 5000 + b"}", "invalid_json"),
            (b'{"model":"research/chat","x":' + b"[" * 80 + b"]" * 80 + b"}", "invalid_json"),
            (b"{}", "missing_model"),
            (b'{"model": 5}', "missing_model"),
        ],
    )
    def test_malformed_bodies_are_400(self, gateway, chat, ana, body, code):
        reply = gateway.call(key_of(ana), body)

        assert (reply.status, reply.code) == (400, code)
        assert chat.calls == []

    def test_brackets_in_text_are_no_nesting(self, gateway, chat, ana):
        text = '[[{"' * 100 + '\\" [[[[' * 30

        reply = gateway.call(key_of(ana), {**CHAT, "messages": [{"role": "user", "content": text}]})

        assert reply.status == 200
        assert chat.calls[0]["messages"][0]["content"] == text

    def test_large_bodies_are_413(self, gateway, chat, ana):
        reply = gateway.call(key_of(ana), b"x" * ((1 << 20) + 1))

        assert (reply.status, reply.code) == (413, "request_too_large")

    def test_other_paths_and_methods(self, gateway, chat, ana):
        key = key_of(ana)

        assert gateway.call(key, path="/v1/nothing").code == "unknown_url"
        assert gateway.call(key, CHAT, "/v1/models").status == 405
        assert gateway.call(key, path="/v1/chat/completions").status == 405
        assert gateway.call(None, path="/healthz").json == {"status": "ok"}

    def test_the_use_of_a_token_is_noted(self, gateway, chat, ana):
        gateway.call(key_of(ana), CHAT)
        gateway.gateway.tables._marked = 0.0

        eventually(lambda: ApiToken.objects.get().last_used_at)


class TestVersions:
    def test_a_version_that_is_served_is_asked_by_its_own_name(self, gateway, chat, ana, cai):
        asked = {**CHAT, "model": "research/tiny:v1"}

        answer = gateway.call(key_of(ana), asked)

        assert answer.json["choices"][0]["message"]["content"] == TEXT
        assert record_of(answer.request_id).deployment_id == chat.deployment.pk
        assert gateway.call(key_of(cai), asked).code == "model_not_found"
        assert gateway.call(key_of(ana), {**asked, "model": "research/tiny:v2"}).status == 404
