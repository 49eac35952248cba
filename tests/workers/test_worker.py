"""A real worker with real child processes: success, failure, cancel, crashes, lost signals."""

import hashlib
import os
import signal
import subprocess

import pytest
from django.conf import settings

from models_app.core.actor import SYSTEM
from models_app.jobs import logs
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel, job_submit
from models_app.jobs.states import TERMINAL
from tests.workers.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def submit(team, **params) -> Job:
    return job_submit(actor=SYSTEM, team=team, kind="self_test", params=params)


def until(job: Job, check, what: str) -> Job:
    def look():
        job.refresh_from_db()
        return check(job)

    wait_for(look, what)
    return job


def ended(job: Job) -> Job:
    return until(job, lambda j: j.state in TERMINAL, "the job ends")


def expected_digest(seed: int, steps: int) -> str:
    digest = hashlib.sha256(str(seed).encode()).hexdigest()
    for step in range(1, steps + 1):
        digest = hashlib.sha256(f"{digest}:{step}".encode()).hexdigest()
    return digest


def numbers(job: Job) -> list[int]:
    return [line.seq for line in logs.log_read(job=job, limit=10**6)]


def children(worker) -> list[str]:
    pattern = f"workers.child {worker.data_dir}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
    return found.stdout.split()


class TestWorker:
    def test_runs_a_job_and_keeps_all_it_said(self, worker, team):
        job = ended(submit(team, steps=5, step_ms=1, lines_per_step=200, seed=3))

        assert job.state == "succeeded"
        assert job.result == {"steps": 5, "digest": expected_digest(3, 5)}
        assert numbers(job) == list(range(1, job.log_seq + 1))
        texts = [line.text for line in logs.log_read(job=job, limit=10**6) if line.stream == "job"]
        assert len(texts) == len(set(texts)) == 1000
        assert (job.percent, job.checkpoints.count()) == (100, 1)

    def test_runs_inline_jobs_while_every_slot_is_taken(self, worker, team):
        taken = [submit(team, steps=100_000, step_ms=10) for _ in range(settings.WORKER_SLOTS)]
        for job in taken:
            until(job, lambda j: j.step, "the slots are taken")
        pings = [
            job_submit(actor=SYSTEM, team=team, kind="ping", params={"text": str(n)})
            for n in range(40)
        ]

        for ping in pings:
            assert ended(ping).state == "succeeded"
        assert {until(job, bool, "it is there").state for job in taken} == {"running"}

    @pytest.mark.parametrize(
        ("outcome", "reason", "words"),
        [("fail", "user_code", "asked to fail"), ("raise", "user_code", "RuntimeError")],
    )
    def test_names_why_a_job_failed(self, worker, team, outcome, reason, words):
        job = ended(submit(team, steps=1, step_ms=1, outcome=outcome))

        assert (job.state, job.reason_code) == ("failed", reason)
        assert words in job.reason
        assert words in job.attempts.get().tail

    def test_kills_a_job_that_will_not_stop(self, worker, team):
        job = submit(team, steps=1, step_ms=1, outcome="hang")
        until(job, lambda j: j.step == 1, "it hangs")
        job_cancel(actor=SYSTEM, job=job)

        assert ended(job).state == "canceled"
        assert children(worker) == []


class TestRecovery:
    STEPS = {"steps": 40, "step_ms": 60, "lines_per_step": 20, "checkpoint_every": 4, "seed": 1}

    def test_resumes_after_the_child_was_killed(self, worker, team):
        job = submit(team, **self.STEPS)
        until(job, lambda j: (j.step or 0) >= 10, "it is under way")
        os.kill(job.attempts.get().pid, signal.SIGKILL)

        self.check(ended(job), attempts=2)
        assert job.attempts.get(epoch=1).exit_signal == "SIGKILL"

    def test_resumes_after_the_worker_was_killed(self, worker, team):
        job = submit(team, **self.STEPS)
        until(job, lambda j: (j.step or 0) >= 10, "it is under way")
        worker.kill()
        wait_for(lambda: not children(worker), "no child outlives its worker", 20)
        worker.start()

        self.check(ended(job), attempts=2)

    def test_gives_the_job_back_on_an_orderly_shutdown(self, worker, team):
        job = submit(team, **self.STEPS)
        until(job, lambda j: (j.step or 0) >= 10, "it is under way")
        worker.stop()
        job.refresh_from_db()
        assert (job.state, job.barren_attempts) == ("pending", 0)
        worker.start()

        self.check(ended(job), attempts=2)

    def test_finds_jobs_whose_signal_was_lost(self, worker, team, monkeypatch):
        from models_app.jobs import signals

        monkeypatch.setattr(signals, "send_go", lambda *args: None)

        assert ended(submit(team, steps=1, step_ms=1)).state == "succeeded"

    def check(self, job: Job, *, attempts: int) -> None:
        assert (job.state, job.epoch) == ("succeeded", attempts)
        assert job.result["digest"] == expected_digest(1, 40)
        assert numbers(job) == list(range(1, job.log_seq + 1))
        # The steps since the last checkpoint are repeated; no line of an attempt is doubled.
        seen = [
            (li.epoch, li.text) for li in logs.log_read(job=job, limit=10**6) if li.stream == "job"
        ]
        assert len(seen) == len(set(seen))
