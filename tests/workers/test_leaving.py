"""A job that has to leave its node while what it needs for that is away."""

import contextlib
import time
from urllib.parse import quote

import pytest
from django.db import connection

from models_app.core.actor import SYSTEM
from models_app.jobs.control import job_pause, job_resume
from models_app.jobs.models import Job
from models_app.jobs.recovery import sweep
from models_app.jobs.services import job_submit
from models_app.pools.joining import join_token_create, node_join
from models_app.pools.models import Node
from models_app.pools.services.operations import node_drain
from tests.chaos.proxy import Proxy
from tests.console.internal.conftest import Console
from tests.workers.conftest import WorkerProcess, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@contextlib.contextmanager
def running(process):
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def console(transactional_db, tmp_path):
    folder = tmp_path / "console"
    folder.mkdir()
    with running(Console(folder)) as process:
        yield process


@pytest.fixture
def joined(console, tmp_path, settings):
    """A worker that does not see the console's disk."""
    settings.DATA_DIR = tmp_path
    _node, secret = node_join(token=join_token_create(actor=SYSTEM)[1], name="test-node")
    process = WorkerProcess(
        tmp_path, SLIPWAY_STORE_URL=console.url, SLIPWAY_NODE_SECRET=secret
    )  # fmt: skip
    with running(process):
        yield process
    print((tmp_path / "worker.log").read_text()[-4000:])


@pytest.fixture
def database(transactional_db):
    """The test's database behind a proxy."""
    proxy = Proxy(int(connection.settings_dict["PORT"]))
    yield proxy
    proxy.close()


@pytest.fixture
def worker(database, tmp_path, settings):
    """A worker with one slot that reaches the database by the proxy."""
    settings.DATA_DIR = tmp_path
    db = connection.settings_dict
    account = f"{quote(db['USER'])}:{quote(db['PASSWORD'])}"
    url = f"postgresql://{account}@127.0.0.1:{database.port}/{db['NAME']}"
    with running(WorkerProcess(tmp_path, DATABASE_URL=url, SLIPWAY_WORKER_SLOTS="1")) as process:
        yield process
    print((tmp_path / "worker.log").read_text()[-4000:])


def started(team, steps=60) -> Job:
    params = {"steps": steps, "step_ms": 60, "checkpoint_every": 5, "seed": 1}
    job = job_submit(actor=SYSTEM, team=team, kind="self_test", params=params)
    return until(job, lambda row: (row.step or 0) >= 8, "it is under way")


def until(job: Job, check, what: str) -> Job:
    def look():
        job.refresh_from_db()
        return check(job)

    wait_for(look, what)
    return job


def newest_stored(job: Job) -> int:
    return max((row.step for row in job.checkpoints.all() if row.manifest), default=0)


def gone_on(job: Job, epoch: int) -> None:
    until(job, lambda row: row.state in ("succeeded", "failed"), "it ends")
    assert (job.state, job.epoch, job.barren_attempts) == ("succeeded", epoch, 0)
    assert job.checkpoints.first().step == job.params["steps"]


class TestWithoutTheConsole:
    def test_a_pause_waits_until_the_checkpoint_is_safe(self, joined, console, team):
        job = started(team)
        console.stop()
        job_pause(actor=SYSTEM, job=job)
        until(job, lambda row: not children(job), "its process has ended")
        assert job.state == "pausing"
        console.start()

        until(job, lambda row: row.state == "paused", "it is paused")
        assert newest_stored(job) == job.checkpoints.first().step
        job_resume(actor=SYSTEM, job=job)
        gone_on(job, epoch=2)

    def test_a_drained_node_keeps_its_job_until_the_checkpoint_is_safe(self, joined, console, team):
        job = started(team, steps=1000)
        console.stop()
        node_drain(actor=SYSTEM, node=Node.objects.get(name="test-node"))
        sweep()  # as the clock does every few seconds
        until(job, lambda row: not children(job), "its process has ended")
        assert Node.objects.get(name="test-node").state == "draining"
        console.start()

        until(job, lambda row: row.state == "pending", "it waits for another node")
        assert newest_stored(job) > 0
        sweep()
        assert Node.objects.get(name="test-node").state == "cordoned"


class TestWithoutTheDatabase:
    def test_who_gives_way_says_so_when_the_database_is_back(self, worker, database, team):
        job = started(team, steps=200)
        urgent = job_submit(
            actor=SYSTEM, team=team, kind="self_test", params={"steps": 1}, priority=10
        )
        until(job, lambda row: row.state == "preempting", "it is asked to give way")
        database.set("cut")
        time.sleep(2)  # a database that is away for a part of the lease
        job.refresh_from_db()
        assert job.state == "preempting"
        database.set("pass")

        until(urgent, lambda row: row.state == "succeeded", "the urgent job comes first")
        gone_on(job, epoch=2)
        assert job.attempts.get(epoch=1).reason_code == "preempted"


def children(job: Job) -> list[int]:
    """Processes of the running attempt of a job."""
    import psutil

    pids = [row.pid for row in job.attempts.filter(ended_at=None) if row.pid]
    return [pid for pid in pids if psutil.pid_exists(pid)]
