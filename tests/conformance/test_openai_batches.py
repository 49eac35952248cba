"""The stock `openai` client sends requests as a batch and takes the answers."""

import json

import openai
import pytest

from models_app.batches.models import Batch
from models_app.batches.services import batches_collect
from tests.console.internal.conftest import console_process
from tests.factories.access import ApiTokenFactory
from tests.factories.batches import CHAT, answering_version, request_line
from tests.fakes.jobs import run_job

__all__ = ["console_process"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def client(console_process, ana, settings):
    settings.DATA_DIR = console_process.data_dir
    key = ApiTokenFactory(user=ana, scopes=["read", "write", "infer"]).secret
    with openai.OpenAI(
        base_url=f"{console_process.url}/v1", api_key=key, max_retries=0, project="research"
    ) as opened:
        yield opened


def sent(client, rows):
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return client.files.create(file=("asked.jsonl", data), purpose="batch")


def test_from_requests_to_answers(client, team, tmp_path):
    answering_version(team, tmp_path / "m")
    rows = [request_line(n) for n in range(30)]
    rows[7]["body"]["n"] = -1
    file = sent(client, rows)
    assert (file.purpose, file.status) == ("batch", "processed")

    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"ticket": "7"}
    )
    assert (batch.status, batch.request_counts.total) == ("validating", 30)
    run_job(Batch.objects.get().job, tmp_path)

    done = client.batches.retrieve(batch.id)
    assert (done.status, done.metadata) == ("completed", {"ticket": "7"})
    assert (done.request_counts.completed, done.request_counts.failed) == (29, 1)
    answers = [json.loads(line) for line in client.files.content(done.output_file_id).iter_lines()]
    assert [row["custom_id"] for row in answers] == [f"q-{n}" for n in range(30) if n != 7]
    (bad,) = [json.loads(line) for line in client.files.content(done.error_file_id).iter_lines()]
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("q-7", 400)
    assert [row.id for row in client.batches.list(limit=5)] == [batch.id]


def test_bad_files_and_cancelling(client, team, tmp_path):
    answering_version(team, tmp_path / "m")
    failed = client.batches.create(
        input_file_id=sent(client, [{"custom_id": 1}]).id, endpoint=CHAT, completion_window="24h"
    )
    assert failed.status == "failed" and failed.errors.data[0].line == 1
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(
            input_file_id=sent(client, [request_line(1)]).id, endpoint="/v1/x",
            completion_window="24h",
        )  # fmt: skip
    assert refused.value.param == "endpoint"
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-x", endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")

    batch = client.batches.create(
        input_file_id=sent(client, [request_line(1)]).id, endpoint=CHAT, completion_window="24h"
    )
    assert client.batches.cancel(batch.id).status == "cancelling"
    batches_collect()
    assert client.batches.retrieve(batch.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match=f"{batch.id} is over"):
        client.batches.cancel(batch.id)
