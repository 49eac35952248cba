"""A real worker with a template: jobs come from it, and nothing outlives the worker."""

import os
import signal

import pytest

from tests.workers.conftest import WorkerProcess, wait_for
from tests.workers.isolation.stage import lives
from tests.workers.test_worker import children, ended, expected_digest, numbers, submit, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def worker(transactional_db, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    process = WorkerProcess(tmp_path, SLIPWAY_WARM_TEMPLATE="1")
    process.start()
    yield process
    process.stop()


def template_of(attempt) -> int:
    return attempt.isolation["template"]


def test_a_killed_job_goes_on_in_a_fork_and_both_die_with_the_worker(worker, team):
    def forked() -> int:
        return template_of(ended(submit(team, steps=1, step_ms=1)).attempts.get())

    template = wait_for(forked, "a job comes from the template")
    job = submit(team, steps=30, step_ms=40, lines_per_step=20, checkpoint_every=4, seed=1)
    until(job, lambda j: (j.step or 0) >= 10, "it is under way")
    os.kill(job.attempts.get().pid, signal.SIGKILL)
    ended(job)

    assert (job.state, job.epoch) == ("succeeded", 2)
    assert job.result["digest"] == expected_digest(1, 30)
    assert numbers(job) == list(range(1, job.log_seq + 1))
    assert job.attempts.get(epoch=1).exit_signal == "SIGKILL"
    assert [template_of(one) for one in job.attempts.all()] == [template] * 2

    last = submit(team, steps=100_000, step_ms=20)
    until(last, lambda j: j.step, "it is under way")
    worker.kill()
    wait_for(lambda: not children(worker) and not lives(template), "both end")
