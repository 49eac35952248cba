"""Batches are answered: each request once, through kills; what is stopped is kept."""

import json
import os
import signal
import threading

import pytest

from models_app.batches.models import Batch
from models_app.batches.selectors import batch_counts, batch_status
from models_app.batches.services import batch_cancel, batch_of_rows, batches_collect
from models_app.core.blobs import blob_open
from models_app.jobs.claims import job_claim
from models_app.jobs.models import Job
from tests.factories.batches import answering_version, batch_of, request_line
from tests.factories.data import ready_version as ready_data
from tests.factories.jobs import placed
from tests.fakes.jobs import run_job
from tests.workers.conftest import wait_for
from workers.attempt import Attempt


def lines_of(file):
    with blob_open(file.sha256) as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.django_db
class TestAnswers:
    def test_every_request_in_order_and_errors_apart(self, ana, team, tmp_path):
        answering_version(team, tmp_path / "m")
        rows = [request_line(n) for n in range(5)]
        rows[2]["body"]["temperature"] = "hot"
        batch = batch_of(ana, team, rows)
        assert batch_status(batch) == "validating"

        job = run_job(batch.job, tmp_path)

        batch = Batch.objects.get()
        assert (job.state, batch_status(batch)) == ("succeeded", "completed")
        assert batch_counts(batch) == {"total": 5, "completed": 4, "failed": 1}
        good = lines_of(batch.output_file)
        assert [row["custom_id"] for row in good] == ["q-0", "q-1", "q-3", "q-4"]
        assert all(row["response"]["body"]["choices"][0]["message"] for row in good)
        (bad,) = lines_of(batch.error_file)
        assert (bad["custom_id"], bad["response"]["status_code"]) == ("q-2", 400)
        assert bad["response"]["body"]["error"]["param"] == "temperature"
        assert batch.completion_tokens == sum(
            row["response"]["body"]["usage"]["completion_tokens"] for row in good
        )

    def test_many_answers_to_each_are_never_refused_for_want_of_room(self, ana, team, tmp_path):
        answering_version(team, tmp_path / "m")
        rows = [request_line(n, n=8, max_tokens=1, temperature=1) for n in range(40)]

        run_job(batch_of(ana, team, rows).job, tmp_path)

        batch = Batch.objects.get()
        assert batch_counts(batch) == {"total": 40, "completed": 40, "failed": 0}
        bodies = [row["response"]["body"] for row in lines_of(batch.output_file)]
        assert {len(body["choices"]) for body in bodies} == {8}

    def test_the_rows_of_a_dataset_and_makes_a_dataset_of_the_answers(self, ana, team, tmp_path):
        answering_version(team, tmp_path / "m")
        data = ready_data(ana, team, tmp_path)
        batch = batch_of_rows(
            actor=ana, dataset_version=data, split="validation", model="research/poet:v1",
            template={"messages": [{"role": "user", "content": "Sum up: {text}"}],
                      "max_tokens": 3, "temperature": 0},
            answers_dataset="sums",
        )  # fmt: skip

        run_job(batch.job, tmp_path)

        batch = Batch.objects.get()
        total = data.counts["validation"]["documents"]
        assert batch_counts(batch) == {"total": total, "completed": total, "failed": 0}
        assert str(batch.answers_version) == "sums v1"
        assert [row["custom_id"] for row in lines_of(batch.output_file)] == [
            f"row-{n}" for n in range(total)
        ]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestDeaths:
    @staticmethod
    def attempted(job):
        held = job_claim(worker="w:1:1", node="n", job_id=placed(job, "n").pk)
        thread = threading.Thread(target=Attempt(held, stopping=threading.Event()).run)
        thread.start()
        return thread, held

    def test_two_kills_and_still_one_answer_each(self, ana, team, tmp_path):
        answering_version(team, tmp_path / "m")
        batch = batch_of(ana, team, [request_line(n, max_tokens=2) for n in range(700)])
        for kill in range(2):
            thread, held = self.attempted(Job.objects.get())
            wait_for(lambda: (Job.objects.get().step or 0) >= 100 * (2 * kill + 1), "it answers")  # noqa: B023
            os.kill(held.attempts.get(epoch=held.epoch).pid, signal.SIGKILL)
            thread.join(60)
        thread, _held = self.attempted(Job.objects.get())
        thread.join(120)

        batch = Batch.objects.get()
        assert Job.objects.get().epoch == 3 and batch_status(batch) == "completed"
        names = [row["custom_id"] for row in lines_of(batch.output_file)]
        assert names == [f"q-{n}" for n in range(700)]

    def test_what_is_answered_when_it_is_cancelled_is_kept(self, ana, team, tmp_path):
        answering_version(team, tmp_path / "m")
        batch = batch_of(ana, team, [request_line(n, max_tokens=2) for n in range(20_000)])
        thread, _held = self.attempted(Job.objects.get())
        wait_for(lambda: batch_counts(Batch.objects.get())["completed"] >= 100, "it answers")

        batch_cancel(actor=ana, batch=Batch.objects.get())
        thread.join(60)

        assert batch_status(Batch.objects.get()) == "cancelling"
        assert batches_collect() == 1
        batch = Batch.objects.get()
        assert batch_status(batch) == "cancelled"
        kept = [row["custom_id"] for row in lines_of(batch.output_file)]
        assert 100 <= len(kept) == len(set(kept)) == batch.completed < 20_000
