"""Shipping the spool: every line once, also when the database loses or hides a commit."""

import pytest

from models_app.jobs import logs
from models_app.jobs.models import Job, JobAttempt, LogChunk
from tests.factories.logs import end, held_job, next_attempt
from tests.workers.test_spool import event, log
from workers.late import clear_ended
from workers.shipping import Shipper
from workers.spool import attempt_folder, job_folder

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(team):
    return held_job(team)


@pytest.fixture
def shipper(job, tmp_path):
    return Shipper(job, tmp_path)


def said(shipper, *texts):
    with shipper.spool.path.open("ab") as spool:
        spool.write(b"".join(log(text) for text in texts))


def stored(job):
    return [(line.seq, line.text) for line in logs.log_read(job=job, limit=10**6)]


class TestShipper:
    def test_stores_what_a_crash_of_the_database_took_back(self, shipper, job):
        said(shipper, "a", "b")
        shipper.ship()
        # Its commit was not yet on disk: after recovery the rows are as they were before.
        LogChunk.objects.all().delete()
        JobAttempt.objects.update(spool_offset=0)
        Job.objects.update(log_seq=0)
        said(shipper, "c")
        shipper.ship()
        shipper.drain()

        assert stored(job) == [(1, "a"), (2, "b"), (3, "c")]

    def test_notices_the_loss_at_the_end_as_well(self, shipper, job):
        said(shipper, "a")
        shipper.ship()
        LogChunk.objects.all().delete()
        JobAttempt.objects.update(spool_offset=0)
        Job.objects.update(log_seq=0)
        shipper.drain()

        assert stored(job) == [(1, "a")]

    def test_does_not_repeat_a_commit_that_was_never_confirmed(self, shipper, job):
        said(shipper, "a", "b")
        shipper.ship()
        shipper.spool.offset = 0  # the connection broke while COMMIT was under way
        said(shipper, "c")
        shipper.drain()

        assert stored(job) == [(1, "a"), (2, "b"), (3, "c")]

    def test_keeps_the_outcome_of_an_unconfirmed_commit(self, shipper, job):
        with shipper.spool.path.open("ab") as spool:
            spool.write(log("a") + event("result", value={"x": 1}))
        shipper.ship()
        shipper.spool.offset, shipper.outcome = 0, None
        shipper.drain()

        assert shipper.outcome == {"kind": "result", "value": {"x": 1}}
        assert stored(job) == [(1, "a")]

    def test_passes_over_empty_lines(self, shipper, job):
        with shipper.spool.path.open("ab") as spool:
            spool.write(b"\n\n")
        shipper.ship()
        said(shipper, "a")
        shipper.drain()

        assert stored(job) == [(1, "a")]

    def test_catches_up_in_few_large_chunks(self, shipper, job):
        said(shipper, *(f"line {n}" for n in range(20_000)))
        batches = 1
        while shipper.ship():
            batches += 1

        assert stored(job) == [(n + 1, f"line {n}") for n in range(20_000)]
        assert batches <= 5
        assert LogChunk.objects.count() <= 4

    def test_joins_the_chunks_of_a_slow_job(self, shipper, job):
        for number in range(100):
            said(shipper, f"line {number}")
            shipper.ship()

        assert stored(job) == [(n + 1, f"line {n}") for n in range(100)]
        assert LogChunk.objects.count() <= 50

    def test_a_drained_attempt_is_complete(self, shipper, job):
        said(shipper, "a")
        shipper.ship()
        assert not job.attempts.get().log_complete
        shipper.drain()

        assert job.attempts.get().log_complete


@pytest.fixture
def data_dir(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    return tmp_path


def left(job, *texts, epoch=1, plain=b""):
    """What an attempt had written when its worker was killed."""
    folder = attempt_folder(job.pk, epoch)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "events.jsonl").open("ab") as spool:
        spool.write(b"".join(log(text) for text in texts) + plain)


class TestLeftovers:
    def test_are_stored_before_the_next_attempt_speaks(self, job, data_dir):
        left(job, "a", "b", plain=b"half a li")
        second = next_attempt(job)
        shipper = Shipper(second, attempt_folder(job.pk, 2))
        shipper.leftovers()
        shipper.say("Attempt 2")

        assert [text for _, text in stored(job)] == ["a", "b", "half a li", "Attempt 2"]
        assert second.attempts.get(epoch=1).log_complete

    def test_of_another_node_are_said_to_be_missing(self, job, data_dir):
        second = next_attempt(job, node="node-2")
        Shipper(second, attempt_folder(job.pk, 2)).leftovers()

        line = logs.log_read(job=job)[0]
        assert (line.stream, line.epoch) == ("gap", 1)

    def test_of_an_ended_job_are_shipped_before_the_folder_goes(self, job, data_dir):
        left(job, "a", "b")
        end(job)
        clear_ended()

        assert [text for _, text in stored(job)] == ["a", "b"]
        assert not job_folder(job.pk).exists()
        assert job.attempts.get().log_complete

    def test_are_left_to_the_attempt_that_is_still_running(self, job, data_dir):
        left(job, "a")
        clear_ended()

        assert stored(job) == []
        assert job_folder(job.pk).exists()

    def test_are_shipped_once_by_any_number_of_workers(self, job, data_dir):
        from concurrent.futures import ThreadPoolExecutor

        from django.db import connections

        def worker(_):
            clear_ended()
            connections.close_all()

        left(job, *(f"line {n}" for n in range(30_000)))
        next_attempt(job)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(worker, range(4)))

        assert stored(job) == [(n + 1, f"line {n}") for n in range(30_000)]

    def test_a_folder_with_unstored_lines_stays(self, job, data_dir, monkeypatch):
        from workers import late

        left(job, "a")
        end(job)
        monkeypatch.setattr(late, "ship_late", lambda attempt: 0)
        clear_ended()

        assert job_folder(job.pk).exists()

    def test_lines_that_a_lost_attempt_goes_on_to_say_are_its_own(self, job, data_dir):
        left(job, "a")
        second = next_attempt(job)
        clear_ended()
        logs.log_append(job=second, lines=[("2026-01-01T00:00:00.000Z", "job", "info", "new")])
        left(job, "still here")
        clear_ended()

        found = [(line.epoch, line.text) for line in logs.log_read(job=job)]
        assert found == [(1, "a"), (2, "new"), (1, "still here")]
