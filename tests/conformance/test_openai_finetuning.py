"""The stock `openai` client sends a file, fine-tunes on it, watches, pauses and resumes."""

import time

import openai
import pytest

from models_app.finetuning.models import Tuning, TuningFile
from models_app.finetuning.services import tunings_advance
from tests.console.finetuning.conftest import base_folder, base_version, lines
from tests.console.internal.conftest import console_process
from tests.factories.access import ApiTokenFactory
from tests.factories.data import finished
from tests.fakes.jobs import run_job
from tests.workers.lm.training.conversations import sums, talk

__all__ = ["base_folder", "console_process"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def client(console_process, ana, settings):
    settings.DATA_DIR = console_process.data_dir
    key = ApiTokenFactory(user=ana, scopes=["read", "write"]).secret
    with openai.OpenAI(
        base_url=f"{console_process.url}/v1", api_key=key, max_retries=0, project="research"
    ) as opened:
        yield opened


def test_a_file_becomes_a_tuned_model(client, team, base_folder, tmp_path):
    base_version(team, base_folder)
    data = lines([talk(f"What is {n}?", "Aye aye, captain.") for n in range(60)])
    file = client.files.create(file=("chats.jsonl", data), purpose="fine-tune")
    assert client.files.retrieve(file.id).status == "uploaded"
    assert client.files.content(file.id).read() == data

    job = client.fine_tuning.jobs.create(
        model="research/talker:v1", training_file=file.id, suffix="sums", seed=3,
        method={"type": "supervised", "supervised": {"hyperparameters": {
            "n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 20}}},
        metadata={"ticket": "7"},
    )  # fmt: skip
    assert job.status == "validating_files"
    finished(TuningFile.objects.get(key=file.id).version, tmp_path)
    tunings_advance()

    assert client.fine_tuning.jobs.retrieve(job.id).status == "queued"
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    run_job(Tuning.objects.get().model_version.produced_by, tmp_path, keep=True)

    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded" and done.fine_tuned_model == "research/talker-sums:v1"
    assert done.trained_tokens > 0 and done.seed == 3 and done.metadata == {"ticket": "7"}
    assert done.created_at <= done.finished_at <= time.time() + 60
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    figures = [event.data for event in events if event.type == "metrics"]
    losses = [data["train_loss"] for data in figures if "train_loss" in data]
    assert len(losses) == 14 and losses[0] < losses[-1], "newest first, and it has learned"
    points = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert [point.step_number for point in points] == [14, 7]
    assert [one.id for one in client.fine_tuning.jobs.list(metadata={"ticket": "7"})] == [job.id]
    assert [one.id for one in client.files.list(purpose="fine-tune")] == [file.id]
    assert client.files.delete(file.id).deleted


def test_errors_are_its_own(client, team):
    with pytest.raises(openai.BadRequestError, match="Line 2") as caught:
        client.files.create(file=("a.jsonl", lines(sums(1, 1)) + b"oops\n"), purpose="fine-tune")
    assert caught.value.param == "file" and caught.value.request_id
    with pytest.raises(openai.NotFoundError) as missing:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert missing.value.code == "not_found"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="slip_wrong").files.list()
