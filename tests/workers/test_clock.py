"""A node whose clock is minutes wrong works on; the server's time decides, and people see it."""

import datetime as dt

import pytest
from django.db import connection

from models_app.core.actor import SYSTEM
from models_app.jobs import logs
from models_app.jobs.services import job_submit
from models_app.pools.models import Node
from tests.chaos.clock import WrongClock, why_not
from tests.workers.conftest import WorkerProcess, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]


@pytest.fixture
def clock(tmp_path):
    return WrongClock(tmp_path / "clock")


@pytest.fixture
def worker(transactional_db, tmp_path, settings, clock):
    settings.DATA_DIR = tmp_path
    process = WorkerProcess(tmp_path, **clock.environment())
    clock.set(420)
    process.start()
    yield process
    process.stop()
    print((tmp_path / "worker.log").read_text()[-4000:])


def server_time() -> dt.datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def test_a_job_outlives_a_clock_that_is_set_back_and_forth(worker, team, clock):
    begun = server_time()
    params = {"steps": 60, "step_ms": 100, "lines_per_step": 2}
    job = job_submit(actor=SYSTEM, team=team, kind="self_test", params=params)

    def at(step):
        job.refresh_from_db()
        return (job.step or 0) >= step or job.state == "failed"

    wait_for(lambda: at(10), "it is under way")
    clock.set(-3600)
    wait_for(lambda: at(35), "it goes on with a clock an hour behind")
    clock.set(420)
    wait_for(lambda: at(60) and job.finished_at, "it ends")

    ended = server_time()
    assert (job.state, job.epoch) == ("succeeded", 1)
    stamps = [dt.datetime.fromisoformat(line.at) for line in logs.log_read(job=job, limit=10**4)]
    attempt = job.attempts.get()
    times = [*stamps, job.started_at, job.finished_at, attempt.started_at, attempt.ended_at]
    slack = dt.timedelta(seconds=2)
    assert begun - slack < min(times)
    assert max(times) < ended + slack


def test_people_see_how_far_it_is_off(worker):
    def off():
        return abs(Node.objects.get(name="test-node").clock_skew_s + 420) < 5

    wait_for(off, "the node is seen to be seven minutes ahead")
