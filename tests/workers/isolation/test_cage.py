"""A job that takes too much is ended alone, for the right reason, and nothing of it is left."""

import os
import signal
from pathlib import Path

import pytest

from models_app.jobs.states import ReasonCode
from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import each_fence, lives
from workers.isolation import records
from workers.isolation.processes import process, table, variable

pytestmark = [pytest.mark.nodb, pytest.mark.slow]


@each_fence
class TestLimits:
    def test_too_much_memory_ends_the_job_alone(self, fence, stage):
        hog = stage(memory_mib=160).start(allocate_mib=4000, at_step=5)
        neighbour = stage(memory_mib=160).start()
        breach = hog.watch()

        assert breach is not None and breach.code == ReasonCode.OOM and breach.permanent
        assert breach.limit == 160 and breach.used >= 150
        assert "of 160 MiB of memory" in breach.message(4) and "at step 4" in breach.message(4)
        neighbour.at_step(neighbour.steps() + 3)
        assert neighbour.cage.breach() is None

    def test_too_many_processes_end_the_job_alone(self, fence, stage, settings):
        settings.JOB_PIDS = 32
        bomb = stage().start(processes=100_000, at_step=2)
        neighbour = stage().start()
        breach = bomb.watch()

        assert breach is not None and breach.code == ReasonCode.PIDS and breach.permanent
        bomb.end()
        assert not [row for row in table.rows().values() if member(row, bomb)]
        neighbour.at_step(neighbour.steps() + 3)

    def test_too_many_files_end_the_job_alone(self, fence, stage):
        filler = stage(disk_mib=64).start(write_mib=4000, at_step=2)
        breach = filler.watch()

        assert breach is not None and breach.code == ReasonCode.DISK_FULL
        assert not breach.permanent and breach.used > 64

    def test_a_job_within_its_limits_is_left_alone(self, fence, stage):
        good = stage(memory_mib=256, disk_mib=64, cpus=1).start(
            allocate_mib=50, write_mib=20, processes=5, steps=20
        )
        assert good.watch() is None
        assert good.child.exit_code == 0, good.said()

    def test_nothing_is_left_of_it(self, fence, stage):
        job = stage().start(daemon=True, processes=3, busy=1).at_step(2)
        daemon = job.daemon()
        assert process(daemon).session != job.child.pid
        groups = [Path(path).parent for path in job.cage.fence.entrances()]
        marks = [row.pid for row in table.rows().values() if marked(row.pid, job)]
        job.end()

        assert len(marks) >= 6
        assert not [pid for pid in [daemon, job.child.pid, *marks] if lives(pid)]
        assert not job.cage.scratch.exists()
        assert not [group for group in groups if group.exists()]
        assert not list(records.folder(job.job.node_name).glob("*.json"))

    def test_a_daemon_does_not_outlive_a_child_that_crashed(self, fence, stage):
        job = stage().start(daemon=True).at_step(2)
        daemon = job.daemon()
        job.cage.breach()
        os.kill(job.child.pid, signal.SIGKILL)
        wait_for(lambda: not job.child.running(0.05), "the child is gone")
        job.end()

        assert not lives(daemon)


def member(row, job) -> bool:
    return row.alive and row.session == job.child.pid


def marked(pid: int, job) -> bool:
    return variable(pid, records.VARIABLE) == job.cage.marker


@each_fence
def test_the_record_says_where_to_read_the_limits(fence, stage):
    job = stage(memory_mib=200, cpus=0.5).start().at_step(1)
    said = job.cage.describe()

    assert said["backend"] == fence
    assert said["limits"]["memory_mib"] == 200
    assert said["session"] == job.child.pid
    if fence == "polling":
        assert said["enforced"]["cpus"].startswith("kept to its processors")
    else:
        assert "kernel" in said["enforced"]["memory"]
        assert str(job.child.pid) in Path(said["read"]["memory"], "cgroup.procs").read_text()
    assert said["used"]["memory_mib"] >= 0


@each_fence
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_jobs_are_kept_to_processors_of_their_own(fence, stage):
    jobs = [stage(cpus=1).start(processes=2).at_step(2) for _ in range(2)]
    used = [os.sched_getaffinity(job.child.pid) for job in jobs]
    free = stage().start().at_step(1)

    assert [len(one) for one in used] == [1, 1] and used[0] != used[1]
    assert jobs[0].cage.describe()["processors"] == sorted(used[0])
    assert os.sched_getaffinity(free.child.pid) == os.sched_getaffinity(0)


def test_the_kernel_holds_the_limits_that_were_asked_for(stage):
    job = stage(memory_mib=200, cpus=0.5).start().at_step(1)
    read = job.cage.describe()["read"]
    if job.cage.fence.backend == "polling":
        pytest.skip("no control groups here: limits are polled")
    names = (
        ("memory.max", "pids.max", "cpu.max")
        if job.cage.fence.backend == "cgroup2"
        else ("memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us")
    )
    memory, pids, cpu = (
        Path(read[part], name).read_text().split()[0]
        for part, name in zip(("memory", "pids", "cpu"), names, strict=True)
    )
    assert int(memory) == 200 << 20
    assert int(pids) == job.cage.limits.pids
    assert int(cpu) == 50_000
