"""Shipping the spool: every line once, also when the database loses or hides a commit."""

import pytest

from models_app.jobs import logs
from models_app.jobs.models import Job, JobAttempt, LogChunk
from tests.factories.jobs import claimed
from tests.workers.test_spool import event, log
from workers.shipping import Shipper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(team):
    return claimed(team)


@pytest.fixture
def shipper(job, tmp_path):
    return Shipper(job, tmp_path)


def said(shipper, *texts):
    with shipper.spool.path.open("ab") as spool:
        spool.write(b"".join(log(text) for text in texts))


def stored(job):
    return [(line.seq, line.text) for line in logs.log_read(job=job)]


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
