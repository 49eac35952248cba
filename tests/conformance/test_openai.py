"""The stock `openai` client, unchanged, against the gateway: only base URL and key are set."""

import openai
import pytest

from tests.fakes.gateway import key_of, record_of
from tests.fakes.replica import WORDS
from tests.waiting import WAIT_S

TEXT = "".join(WORDS)
MESSAGES = [{"role": "user", "content": "Where is it?"}]
MODEL = "research/chat"


def client_of(gateway, key: str, **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, **options)


@pytest.fixture
def key(chat, ana):
    return key_of(ana)


@pytest.fixture
def client(gateway, key):
    with client_of(gateway, key) as opened:
        yield opened


class TestChat:
    def test_answers_with_usage_and_the_requests_id(self, client):
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)

        assert answer.choices[0].message.content == TEXT
        assert answer.choices[0].finish_reason == "stop"
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 5)
        assert answer.model == MODEL
        assert record_of(answer._request_id).status == 200

    def test_streams(self, client):
        stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)

        chunks = list(stream)

        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
        assert all(chunk.usage is None for chunk in chunks)

    def test_streams_with_usage(self, client):
        stream = client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )

        *chunks, last = list(stream)

        assert all(chunk.usage is None for chunk in chunks)
        assert last.choices == [] and last.usage.total_tokens == 12

    async def test_the_async_client_answers_and_streams(self, gateway, key):
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
            stream = await client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True
            )
            said = [chunk.choices[0].delta.content async for chunk in stream]

        assert answer.choices[0].message.content == "".join(said) == TEXT

    def test_stopping_a_stream_leaves_a_record(self, client, chat):
        chat.mode, chat.pause_s = "endless", 0.01
        with client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, extra_headers={"x-request-id": "stopped"}
        ) as stream:
            next(iter(stream))

        assert chat.hung_up.wait(WAIT_S)
        assert record_of("stopped").outcome == "client_closed"


class TestCompletions:
    def test_answers_and_streams(self, client):
        answer = client.completions.create(model=MODEL, prompt="Once")
        stream = client.completions.create(model=MODEL, prompt="Once", stream=True)

        assert answer.choices[0].text == TEXT
        assert "".join(chunk.choices[0].text for chunk in stream) == TEXT


class TestModels:
    def test_lists_and_retrieves(self, client):
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve(MODEL).owned_by == "research"


class TestErrors:
    def test_a_wrong_key_is_an_authentication_error(self, gateway, chat):
        with client_of(gateway, "slip_wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()

    def test_a_missing_scope_is_a_permission_error(self, gateway, chat, ana):
        client = client_of(gateway, key_of(ana, "read"))
        with client, pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model=MODEL, messages=MESSAGES)

        assert caught.value.code == "insufficient_scope"

    def test_a_foreign_model_is_not_found(self, gateway, chat, cai):
        client = client_of(gateway, key_of(cai))
        with client, pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=MODEL, messages=MESSAGES)

        assert caught.value.code == "model_not_found" and caught.value.param == "model"

    def test_a_bad_parameter_is_a_bad_request(self, client):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=0)

        assert caught.value.request_id.startswith("req-")

    def test_a_busy_replica_is_a_rate_limit_that_the_client_retries(self, gateway, chat, ana):
        chat.mode = "queue_full"
        with client_of(gateway, key_of(ana)) as client, pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model=MODEL, messages=MESSAGES)

    def test_a_failing_model_is_a_server_error_that_is_not_repeated(self, gateway, chat, ana):
        chat.mode = "broken"
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key_of(ana), max_retries=2)
        with client, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model=MODEL, messages=MESSAGES)

        assert len(chat.calls) == 1

    def test_a_replica_lost_in_a_stream_raises(self, client, chat):
        chat.mode = "die"
        said = []

        with pytest.raises(openai.APIError, match="lost") as caught:
            for chunk in client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True
            ):
                said.append(chunk.choices[0].delta.content)

        assert said == WORDS[:2] and caught.value.code == "replica_lost"
