"""Faults of PostgreSQL and Redis, and of who holds connections to them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import redis

from benchmarks.running_stack import ROOT
from tests.chaos.faults.base import Fault


class RedisKilled(Fault):
    """kill -9; its append-only file brings most of it back."""

    name = "redis_killed"
    harmful = False

    def inject(self) -> None:
        os.kill(self.site.pid_of("redis"), signal.SIGKILL)


class RedisLost(Fault):
    """kill -9 and the loss of everything it had."""

    name = "redis_lost"
    harmful = False

    def inject(self) -> None:
        pid = self.site.pid_of("redis")
        shutil.rmtree(self.site.stack.data_dir / "valkey" / "appendonlydir", ignore_errors=True)
        os.kill(pid, signal.SIGKILL)


class RedisFlushed(Fault):
    """FLUSHALL under load: queues, bindings and caches are gone, connections stay."""

    name = "redis_flushed"
    harmful = False

    def inject(self) -> None:
        url = self.site.stack.addresses()["REDIS_URL"]
        with contextlib.suppress(redis.RedisError):
            redis.Redis.from_url(url, socket_timeout=5).flushall()


class RedisFrozen(Fault):
    """It does not answer for a while, and no connection breaks."""

    name = "redis_frozen"
    harmful = False
    holds_s = (4, 14)

    def inject(self) -> None:
        self.pid = self.site.pid_of("redis")
        os.kill(self.pid, signal.SIGSTOP)

    def mend(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


class PostgresStopped(Fault):
    """The immediate shutdown; the launcher starts it again."""

    name = "postgres_immediate"

    def inject(self) -> None:
        os.kill(self.site.pid_of("postgres"), signal.SIGQUIT)


class PostgresKilled(Fault):
    """kill -9 of the postmaster."""

    name = "postgres_killed"

    def inject(self) -> None:
        os.kill(self.site.pid_of("postgres"), signal.SIGKILL)


class BackendTerminated(Fault):
    """Connections of others end at random, several a second."""

    name = "backend_terminated"
    harmful = False
    holds_s = (2, 6)

    def inject(self) -> None:
        self.until = time.monotonic() + self.random.uniform(2, 5)
        while time.monotonic() < self.until:
            self.site.truth.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                " AND application_name <> 'chaos' ORDER BY random() LIMIT 2"
            )
            time.sleep(self.random.uniform(0.1, 0.5))

    def hold_s(self) -> float:
        return 0


class TwoBeats(Fault):
    """A second clock runs beside the first."""

    name = "two_beats"
    harmful = False
    holds_s = (6, 12)

    def inject(self) -> None:
        stack = self.site.stack
        environment = {
            **stack.environment(), **stack.addresses(),
            "DJANGO_SETTINGS_MODULE": "console.settings.worker", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "workers.celery", "beat"]
        schedule = stack.data_dir / "run" / "beat-2"
        with (stack.data_dir / "log" / "beat-2.log").open("ab") as log:
            self.beat = subprocess.Popen(
                [*command, "--pidfile=", "-s", str(schedule), "-l", "WARNING"],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def mend(self) -> None:
        self.beat.kill()
        self.beat.wait()
