"""The fence: nothing that a lost attempt writes has an effect."""

import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction

from models_app.core.clock import now
from models_app.core.errors import StaleEpoch
from models_app.jobs import attempts, claims, logs, metrics
from models_app.jobs.models import Checkpoint, Job, LogChunk, MetricPoint
from models_app.jobs.recovery import recover_expired, recover_node, resend_go, return_unclaimed
from models_app.jobs.services import job_cancel
from models_app.jobs.states import JobState
from tests.factories.jobs import NODE, claimed, expire, placed, submitted

pytestmark = pytest.mark.django_db

LINE = ("2026-01-01T00:00:00.000Z", "job", "info", "text")
POINT = {"step": 5, "path": "p", "digest": "d", "size_bytes": 1, "metrics": {}}


def claim(job_id=None, worker="node-2:200:2"):
    return claims.job_claim(worker=worker, node="node-2", job_id=job_id)


class TestClaim:
    def test_raises_the_epoch_and_sets_a_lease(self, team):
        job = claimed(team)

        assert (job.state, job.epoch) == (JobState.RUNNING, 1)
        assert job.attempts.get().epoch == 1

    def test_gives_a_job_to_one_worker_only(self, team):
        job = claimed(team)

        assert claim(job.pk) is None

    def test_takes_the_highest_priority_first_then_the_oldest(self, team):
        low = placed(submitted(team), "node-2")
        high = placed(submitted(team, priority=5), "node-2")

        assert claim().pk == high.pk
        assert claim().pk == low.pk
        assert claim() is None

    def test_leaves_jobs_alone_that_have_no_place_or_one_on_another_node(self, team):
        submitted(team)
        placed(submitted(team), "node-3")

        assert claim() is None


@pytest.mark.django_db(transaction=True)
def test_many_workers_claim_each_job_once(team):
    jobs = {placed(submitted(team), "node-2").pk for _ in range(12)}
    taken, lock = [], threading.Lock()

    def work(number):
        while (job := claim(worker=f"w{number}")) is not None:
            with lock:
                taken.append(job.pk)
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert sorted(taken) == sorted(jobs)


class TestFence:
    """Attempt 1 falls silent, attempt 2 takes the job; whatever attempt 1 then does is refused."""

    @pytest.fixture
    def stale(self, team):
        job = claimed(team)
        expire(job)
        recover_expired()
        second = claim(placed(job, "node-2").pk)
        assert second.epoch == 2
        return job

    @pytest.mark.parametrize(
        "write",
        [
            lambda job: attempts.job_renew(job=job),
            lambda job: logs.log_append(job=job, lines=[LINE], spool_offset=9),
            lambda job: metrics.metrics_append(job=job, points=[("loss", 1, 1.0, LINE[0])]),
            lambda job: attempts.progress_report(job=job, values={"percent": 50}),
            lambda job: attempts.checkpoint_record(job=job, checkpoint=POINT),
            lambda job: attempts.job_finish(job=job, result={}, attempt={}),
            lambda job: attempts.job_fail(
                job=job, code="user_code", message="x", permanent=True, attempt={}
            ),
            lambda job: attempts.job_release(job=job, message="x", attempt={}),
            lambda job: attempts.job_stopped(job=job, attempt={}),
            lambda job: attempts.job_ready(job=job, data={}),
        ],
    )
    def test_refuses_every_write_of_the_lost_attempt(self, stale, write):
        with pytest.raises(StaleEpoch):
            write(stale)

        stale.refresh_from_db()
        assert (stale.state, stale.epoch, stale.log_seq) == (JobState.RUNNING, 2, 0)
        assert not (LogChunk.objects.exists() or MetricPoint.objects.exists())
        assert not Checkpoint.objects.exists()

    def test_refuses_writes_after_the_lease_even_if_nobody_took_over(self, team):
        job = claimed(team)
        expire(job)

        with pytest.raises(StaleEpoch):
            attempts.job_finish(job=job, result={}, attempt={})

    def test_finishes_once(self, team):
        job = claimed(team)
        attempts.job_finish(job=job, result={"a": 1}, attempt={"exit_code": 0})

        with pytest.raises(StaleEpoch):
            attempts.job_finish(job=job, result={"a": 2}, attempt={})
        job.refresh_from_db()
        assert job.result == {"a": 1}

    def test_the_table_itself_refuses_a_holder_without_a_lease(self, team):
        job = submitted(team)

        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)


class TestFailure:
    def fail(self, job, code, permanent=False):
        return attempts.job_fail(
            job=job, code=code, message="m", permanent=permanent, attempt={"exit_code": 1}
        )

    def test_of_the_jobs_own_code_is_final(self, team):
        job = self.fail(claimed(team), "user_code")

        assert (job.state, job.reason_code) == (JobState.FAILED, "user_code")
        assert job.attempts.get().exit_code == 1

    def test_by_a_signal_is_tried_again_later(self, team):
        job = self.fail(claimed(team), "killed")

        assert (job.state, job.barren_attempts) == (JobState.PENDING, 1)
        assert job.lease_until is None

    def test_stops_after_too_many_attempts_without_a_checkpoint(self, team):
        job = claimed(team)
        for _ in range(job.max_attempts - 1):
            self.fail(job, "killed")
            job = claim(placed(job, "node-2").pk)
        job = self.fail(job, "killed")

        assert (job.state, job.reason_code) == (JobState.FAILED, "retries_exhausted")
        assert "attempt 4" in job.reason

    def test_at_the_same_place_twice_is_final(self, team):
        died = {"exit_signal": "SIGSEGV", "tail": 'File "/x/kernel.py", line 7, in forward'}

        def crash(job):
            return attempts.job_fail(
                job=job, code="killed", message="It died.", permanent=False, attempt=died
            )

        job = crash(claim(placed(crash(claimed(team)), "node-2").pk))

        assert (job.state, job.reason_code) == (JobState.FAILED, "poison")

    def test_of_a_device_avoids_the_node_next_time(self, team):
        job = attempts.job_fail(
            job=claimed(team), code="user_code", message="RuntimeError", permanent=True,
            attempt={"tail": "RuntimeError: CUDA error: device-side assert triggered"},
        )  # fmt: skip

        assert (job.state, job.reason_code) == (JobState.PENDING, "device_lost")
        assert job.excluded_nodes == [NODE]

    def test_is_forgiven_by_a_new_checkpoint(self, team):
        failed = self.fail(claimed(team), "killed")
        job = claim(placed(failed, "node-2").pk)
        attempts.checkpoint_record(job=job, checkpoint=POINT)

        job.refresh_from_db()
        assert job.barren_attempts == 0

    def test_after_a_cancel_counts_as_cancelled(self, team, ben):
        job = claimed(team)
        job_cancel(actor=ben, job=job)

        assert self.fail(job, "user_code", permanent=True).state == JobState.CANCELED

    def test_a_result_after_a_cancel_counts_as_cancelled(self, team, ben):
        job = claimed(team)
        job_cancel(actor=ben, job=job)

        assert attempts.job_finish(job=job, result={}, attempt={}).state == JobState.CANCELED


class TestRecovery:
    def test_queues_a_silent_job_again(self, team):
        job = claimed(team)
        expire(job)

        assert recover_expired() == 1
        job.refresh_from_db()
        assert (job.state, job.reason_code) == (JobState.PENDING, "lease_expired")
        assert job.attempts.get().reason_code == "lease_expired"

    def test_leaves_a_living_job_alone(self, team):
        claimed(team)

        assert recover_expired() == 0

    def test_ends_a_silent_job_that_was_being_cancelled(self, team, ben):
        job = claimed(team)
        job_cancel(actor=ben, job=job)
        expire(job)
        recover_expired()

        job.refresh_from_db()
        assert job.state == JobState.CANCELED

    def test_frees_at_once_what_an_earlier_self_of_a_node_held(self, team):
        job = claimed(team)

        assert recover_node(node=NODE, incarnation="node-1:101:2") == 1
        assert recover_node(node=NODE, incarnation="node-1:101:2") == 0
        job.refresh_from_db()
        assert job.state == JobState.PENDING

    def test_sends_lost_signals_again(self, team, monkeypatch):
        from models_app.jobs import signals

        sent = []
        monkeypatch.setattr(
            signals.current_app,
            "send_task",
            lambda name, **o: sent.append((o["queue"], o["kwargs"])),
        )
        job = placed(submitted(team))
        Job.objects.filter(pk=job.pk).update(sent_at=now() - dt.timedelta(seconds=6))

        assert resend_go() == 1
        assert resend_go() == 0  # just sent: not due yet
        assert sent == [("node.node-1", {"count": 1})]

    def test_takes_the_place_of_a_job_that_nobody_claims(self, team):
        job = placed(submitted(team))
        Job.objects.filter(pk=job.pk).update(scheduled_at=now() - dt.timedelta(seconds=60))
        fresh = placed(submitted(team))

        assert return_unclaimed() == 1
        job.refresh_from_db()
        fresh.refresh_from_db()
        assert (job.state, fresh.state) == (JobState.PENDING, JobState.SCHEDULED)
