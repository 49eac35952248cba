"""A worker that starts ends what its earlier self left, and nobody else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import NODE, each_fence, end_for_sure, lives
from workers.isolation import records
from workers.isolation.cage import scratch_root
from workers.isolation.processes import process
from workers.orphans import end_orphans

pytestmark = [pytest.mark.nodb, pytest.mark.slow]


def abandon(stage) -> None:
    """As if the worker had been killed: the record stays, nobody supervises any more."""
    records.LIVE.discard((stage.job.pk, stage.job.epoch))


def record_of(stage) -> Path:
    return records.path_of(NODE, stage.job.pk, stage.job.epoch)


def name_of(stage) -> str:
    return f"{stage.job.pk}.{stage.job.epoch}"


@pytest.fixture
def stranger():
    """A process in a session of its own that has nothing to do with us."""
    made = []

    def make(**env):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        made.append(subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True))
        return made[-1].pid

    yield make
    for one in made:
        one.kill()
        one.wait()


@each_fence
class TestOrphans:
    def test_ends_all_of_an_attempt_that_nobody_supervises(self, fence, stage):
        job = stage().start(daemon=True, processes=2).at_step(2)
        daemon = job.daemon()
        groups = [Path(path).parent for path in job.cage.fence.entrances()]
        abandon(job)
        report = end_orphans(NODE)

        assert not lives(daemon) and not lives(job.child.pid)
        assert {daemon, job.child.pid} <= set(report.ended[name_of(job)])
        assert not record_of(job).exists() and not job.cage.scratch.exists()
        job.child.running(5)  # reaped, as init would
        assert not [group for group in groups if group.exists()]

    def test_ends_a_daemon_whose_first_process_is_gone(self, fence, stage):
        job = stage().start(daemon=True).at_step(2)
        daemon = job.daemon()
        end_for_sure([job.child.pid])
        wait_for(lambda: not job.child.running(0.05), "the first process is gone")
        assert lives(daemon)
        abandon(job)
        end_orphans(NODE)

        assert not lives(daemon)

    def test_passes_by_what_is_supervised(self, fence, stage):
        job = stage().start().at_step(1)
        report = end_orphans(NODE)

        assert report.ended == {}
        assert lives(job.child.pid) and record_of(job).exists() and job.cage.scratch.exists()


class TestTrust:
    @pytest.mark.parametrize("change", ["pid", "signature", "garbage", "name"])
    def test_a_tampered_record_ends_nothing_and_is_reported(self, place, stage, stranger, change):
        job = stage().start().at_step(1)
        abandon(job)
        kept = json.loads(record_of(job).read_text())
        inner = json.loads(kept["record"])
        victim = stranger()
        inner["pid"], inner["started"] = victim, process(victim).started
        path = record_of(job)
        if change == "pid":
            path.write_text(json.dumps({**kept, "record": json.dumps(inner)}))
        elif change == "signature":
            path.write_text(json.dumps({"record": json.dumps(inner), "signature": "0" * 64}))
        elif change == "garbage":
            path.write_bytes(b"\xff\x00{")
        else:
            path = path.rename(path.with_name("999.1.json"))
        records.LIVE.add((job.job.pk, job.job.epoch))  # what is signed elsewhere does not count
        report = end_orphans(NODE)

        assert report.rejected == [str(path)] and report.ended == {}
        assert lives(victim) and lives(job.child.pid)
        assert path.with_suffix(".rejected").exists()

    def test_a_record_of_another_node_ends_nothing(self, place, stage):
        job = stage().start().at_step(1)
        abandon(job)
        other = records.folder("other-node")
        other.mkdir(parents=True)
        record_of(job).rename(other / record_of(job).name)
        report = end_orphans("other-node")

        assert len(report.rejected) == 1 and lives(job.child.pid)

    def test_a_number_that_was_used_again_is_not_ours(self, place, stranger):
        victim = stranger()
        kept = record(pid=victim, started=process(victim).started - 1)
        records.write(kept)
        report = end_orphans(NODE)

        assert report.ended == {} and lives(victim)
        assert not records.path_of(NODE, kept.job, kept.epoch).exists()

    @pytest.mark.parametrize("other", ["boot", "namespace"])
    def test_a_record_of_another_boot_or_container_ends_nothing(self, place, stranger, other):
        victim = stranger()
        kept = record(pid=victim, started=process(victim).started, **{other: "another"})
        Path(kept.scratch).mkdir(parents=True)
        records.write(kept)
        report = end_orphans(NODE)

        assert report.ended == {} and lives(victim)
        assert not Path(kept.scratch).exists()

    def test_a_mark_without_our_signature_is_a_stranger(self, place, stranger):
        victim = stranger(**{records.VARIABLE: "7.2:" + "0" * 32})

        assert end_orphans(NODE).ended == {} and lives(victim)

    def test_a_straggler_with_our_mark_is_ended_without_a_record(self, place, stranger):
        ours = stranger(**{records.VARIABLE: records.marker(NODE, 7, 2)})
        wait_for(lambda: process(ours) is not None, "it runs")

        assert end_orphans(NODE).ended == {"7.2": [ours]}
        assert not lives(ours)

    def test_the_key_is_closed_and_an_open_one_is_replaced(self, place):
        first = records.key(NODE)
        path = records.root() / f"{NODE}.key"
        assert path.stat().st_mode & 0o777 == 0o600
        assert records.key(NODE) == first
        path.chmod(0o644)

        assert records.key(NODE) != first
        assert path.stat().st_mode & 0o777 == 0o600


def test_scratch_that_nobody_uses_is_removed(place):
    stale = scratch_root(NODE) / "j5.a1"
    stale.mkdir(parents=True)
    (stale / "big").write_text("x")
    end_orphans(NODE)

    assert not stale.exists()


def record(**changes) -> records.Record:
    from workers.isolation.processes import boot_id, pid_namespace

    values = {
        "node": NODE, "job": 7, "epoch": 2, "pid": 1, "started": 1, "boot": boot_id(),
        "namespace": pid_namespace(), "scratch": str(scratch_root(NODE) / "j7.a2"),
    }  # fmt: skip
    return records.Record(**{**values, **changes})
