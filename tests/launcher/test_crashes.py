"""kill -9 of anything: nothing is left over, nothing that was written is lost."""

import os
import signal

import pytest

from .running import FAKE, child_pids, launched, processes_of, until

pytestmark = pytest.mark.slow

# A training process that finishes writing when it is told to stop.
TRAINER = """
import os, signal, sys, time
folder = os.environ["SLIPWAY_DATA_DIR"]
def leave(*_):
    time.sleep(0.5)
    open(folder + "/checkpoint", "w").write("whole")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open(folder + "/training", "w").write(str(os.getpid()))
time.sleep(1000)
"""
# One that nobody told anything: it forgot to ask for a signal when its parent ends.
FORGOTTEN = (
    "import subprocess, sys\n"
    "command = [sys.executable, '-c', 'import time; time.sleep(1000)']\n"
    "subprocess.Popen(command, start_new_session=True)"
)


@pytest.fixture
def stack(data_dir, port):
    def start(**environment):
        return launched([*FAKE, "--data-dir", str(data_dir), "--port", str(port)], **environment)

    return start


class TestKilledLauncher:
    def test_leaves_nothing_and_the_next_start_has_the_data(
        self, stack, data_dir, database, broker
    ):
        with stack() as first:
            first.wait_for("ready: http").wait_for("beating")
            database(data_dir, "create table kept as select 42 as x")
            broker(data_dir).rpush("queue", "one", "two")
            until(lambda: broker(data_dir).info("persistence")["aof_pending_bio_fsync"] == 0)
            first.process.kill()
            first.wait()
            until(lambda: processes_of(data_dir) == {})

        with stack() as second:
            second.wait_for("ready: http")
            assert database(data_dir, "select x from kept") == [(42,)]
            assert broker(data_dir).llen("queue") == 2

    def test_an_immediate_next_start_waits_for_what_is_still_ending(
        self, stack, data_dir, database
    ):
        with stack() as first:
            first.wait_for("ready: http")
            database(data_dir, "create table kept as select 42 as x")
            first.process.kill()
            first.wait()
            with stack() as second:
                second.wait_for("ready: http")
                assert database(data_dir, "select x from kept") == [(42,)]

    def test_a_stale_pid_of_a_stranger_does_not_hinder(self, stack, data_dir):
        with stack() as first:
            first.wait_for("ready: http")
            first.stop()
        # As in a restarted container: the number belongs to another process now.
        (data_dir / "pg18" / "postmaster.pid").write_text(f"{os.getpid()}\n")

        with stack() as second:
            second.wait_for("ready: http")


class TestKilledServer:
    @pytest.mark.parametrize("name", ["web", "worker", "beat"])
    def test_is_started_again(self, stack, data_dir, name):
        with stack() as launcher:
            launcher.wait_for("ready: http").wait_for("beating")
            before = child_pids(data_dir)[name]
            os.kill(before, signal.SIGKILL)

            after = until(lambda: child_pids(data_dir).get(name, before) != before)

            assert after
            launcher.wait_for(f"{name} ended (SIGKILL)")

    def test_postgres_comes_back_with_its_data(self, stack, data_dir, database):
        with stack() as launcher:
            launcher.wait_for("ready: http")
            database(data_dir, "create table kept as select 42 as x")
            before = child_pids(data_dir)["postgres"]
            os.kill(before, signal.SIGKILL)
            until(lambda: child_pids(data_dir).get("postgres", before) != before)

            assert until(lambda: answer(database, data_dir)) == [(42,)]

    def test_redis_comes_back_with_its_queue(self, stack, data_dir, broker):
        import redis

        with stack() as launcher:
            launcher.wait_for("ready: http")
            broker(data_dir).rpush("queue", *range(50))
            before = child_pids(data_dir)["redis"]
            os.kill(before, signal.SIGKILL)
            until(lambda: child_pids(data_dir).get("redis", before) != before)

            def length():
                try:
                    return broker(data_dir).llen("queue")
                except redis.ConnectionError:
                    return None

            assert until(length) == 50


class TestTrainingProcesses:
    def test_may_finish_writing_when_their_worker_is_killed(self, stack, data_dir):
        with stack(FAKE_TRAINER=TRAINER) as launcher:
            launcher.wait_for("ready: http")
            until((data_dir / "training").exists)
            os.kill(child_pids(data_dir)["worker"], signal.SIGKILL)

            until((data_dir / "checkpoint").exists)

            # It exists before it is written.
            until(lambda: (data_dir / "checkpoint").read_text() == "whole")

    def test_may_finish_writing_when_the_launcher_is_killed(self, stack, data_dir):
        with stack(FAKE_TRAINER=TRAINER) as launcher:
            launcher.wait_for("ready: http")
            until((data_dir / "training").exists)
            launcher.process.kill()
            launcher.wait()

            until((data_dir / "checkpoint").exists)
            until(lambda: processes_of(data_dir) == {})

    def test_none_outlives_a_stop_even_if_nobody_told_it(self, stack, data_dir):
        with stack(FAKE_TRAINER=FORGOTTEN) as launcher:
            launcher.wait_for("working").wait_for("ready: http")
            until(lambda: any("sleep(1000)" in c for c in processes_of(data_dir).values()))

            launcher.stop()

        assert processes_of(data_dir) == {}


def answer(database, data_dir):
    import psycopg

    try:
        return database(data_dir, "select x from kept")
    except psycopg.OperationalError:
        return None
