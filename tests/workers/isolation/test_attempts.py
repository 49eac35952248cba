"""An attempt that passes a limit: its reason, its figures, its record; others go on."""

import datetime as dt
import errno
import threading

import pytest
from django.utils import timezone

from models_app.core.actor import SYSTEM
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.services import job_cancel, job_submit
from models_app.jobs.states import TERMINAL
from models_app.pools.models import Pool
from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import each_fence, lives
from workers.attempt import Attempt
from workers.isolation import records
from workers.isolation.cage import scratch_root
from workers.isolation.processes import table, variable

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def held(team, *, params, **asks) -> Job:
    """A job as a worker has just claimed it."""
    pool, _ = Pool.objects.get_or_create(name="cages")
    job = Job.objects.create(
        team=team, kind="self_test", title="strain", params={"step_ms": 5, **params}, pool=pool,
        state="running", epoch=1, worker="w:1:1", node_name="attempt-node",
        run_after=timezone.now(), lease_until=timezone.now() + dt.timedelta(seconds=60), **asks,
    )  # fmt: skip
    JobAttempt.objects.create(job=job, epoch=1, node_name=job.node_name, worker=job.worker)
    return job


def supervised(job: Job) -> JobAttempt:
    """Run the attempt to its end, as a worker's thread does."""
    thread = threading.Thread(target=Attempt(job, stopping=threading.Event()).run)
    thread.start()
    thread.join(120)
    assert not thread.is_alive()
    job.refresh_from_db()
    return job.attempts.get(epoch=1)


@each_fence
class TestBreach:
    def test_memory_fails_the_job_for_good_with_figures(self, fence, team):
        params = {"steps": 10_000, "at_step": 30, "allocate_mib": 4000}
        job = held(team, params=params, memory_mib=160)
        attempt = supervised(job)

        assert (job.state, job.reason_code) == ("failed", "oom"), job.reason
        assert "of 160 MiB of memory" in job.reason and "at step 29" in job.reason
        assert "memory_mib" in job.reason and job.reason in attempt.tail
        assert attempt.exit_signal == "SIGKILL"

    def test_processes_fail_the_job_for_good(self, fence, team, settings):
        settings.JOB_PIDS = 32
        job = held(team, params={"steps": 10_000, "processes": 5000})
        supervised(job)

        assert (job.state, job.reason_code) == ("failed", "pids"), job.reason
        assert "processes and threads" in job.reason

    def test_disk_is_tried_again(self, fence, team):
        job = held(team, params={"steps": 10_000, "write_mib": 4000}, disk_mib=64)
        attempt = supervised(job)

        assert attempt.reason_code == "disk_full", job.reason
        assert (job.state, "of 64 MiB of disk" in attempt.reason) == ("pending", True)


@each_fence
def test_the_record_is_kept_with_the_attempt_and_shown(fence, team, api_for, ben):
    job = held(team, params={"steps": 20}, memory_mib=300)
    attempt = supervised(job)
    answer = api_for(ben, "read").get(f"/api/v1/jobs/{job.pk}/attempts")

    assert job.state == "succeeded", job.reason
    assert attempt.isolation["backend"] == fence
    assert attempt.isolation["limits"]["memory_mib"] == 300
    assert attempt.isolation["session"] == attempt.pid
    assert 5 < attempt.isolation["used"]["memory_mib"] < 300
    assert answer.json()[0]["isolation"] == attempt.isolation


def test_a_result_counts_although_a_daemon_was_left(place, team):
    job = held(team, params={"steps": 3, "daemon": True})
    supervised(job)
    daemon = next(
        int(text.split()[1])
        for text in job.attempts.get().tail.splitlines()
        if text.startswith("daemon ")
    )

    assert job.state == "succeeded"
    assert not lives(daemon)
    assert not records.LIVE and not list(records.folder(job.node_name).glob("*"))


def test_a_full_disk_before_the_start_is_tried_again(place, team, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workers.isolation.cage.fence_for", full)
    job = held(team, params={"steps": 1})
    attempt = supervised(job)

    assert (job.state, attempt.reason_code) == ("pending", "disk_full")
    assert not records.LIVE and not scratch_root(job.node_name).joinpath(f"j{job.pk}.a1").exists()


def test_a_line_of_ten_megabytes_is_stored_in_parts(place, team):
    job = held(team, params={"steps": 1, "line_mib": 10})
    supervised(job)

    assert job.state == "succeeded", job.reason
    assert job.log_seq > 10


def test_a_job_that_ignores_the_wish_to_stop_is_ended_after_its_grace(place, team, settings):
    settings.JOB_GRACE_S = 1
    job = held(team, params={"steps": 10_000, "ignore_stop": True}, timeout_s=1)
    attempt = supervised(job)

    assert (job.state, attempt.exit_signal) == ("timed_out", "SIGKILL")


def test_a_lost_lease_leaves_no_trace_of_the_attempt_in_the_new_one(place, team):
    """The record is written for the epoch that was claimed, and only while it is open."""
    from models_app.jobs.attempts import attempt_isolated

    job = held(team, params={"steps": 1})
    JobAttempt.objects.filter(job=job).update(ended_at=timezone.now())
    attempt_isolated(job=job, isolation={"backend": "late"})

    assert job.attempts.get().isolation == {}


def test_a_worker_that_starts_ends_the_daemons_of_its_killed_self(worker, team):
    params = {"steps": 10_000, "step_ms": 20, "daemon": True, "checkpoint_every": 10_000}
    job = job_submit(actor=SYSTEM, team=team, kind="self_test", params=params)

    def daemons() -> list[int]:
        marks = ((row.pid, variable(row.pid, records.VARIABLE)) for row in table.rows().values())
        ours = {pid for pid, mark in marks if mark.startswith(f"{job.pk}.1:")}
        first = job.attempts.get(epoch=1).pid
        return [pid for pid in ours if pid != first and lives(pid)]

    wait_for(lambda: job.attempts.filter(pid__gt=0).exists() and daemons(), "it leaves a daemon")
    left = daemons()
    worker.kill()
    assert [pid for pid in left if lives(pid)] == left
    worker.start()

    wait_for(lambda: not [pid for pid in left if lives(pid)], "the daemon is ended")
    job_cancel(actor=SYSTEM, job=Job.objects.get(pk=job.pk))
    wait_for(lambda: Job.objects.get(pk=job.pk).state in TERMINAL, "the job ends")
