"""A real worker process on the test database."""

import os
import signal
import subprocess
import sys
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from models_app.pools.selectors import node_list
from tests.waiting import wait_for

__all__ = ["WorkerProcess", "wait_for", "worker"]


class WorkerProcess:
    """`celery worker` as the launcher starts it; can be killed and started again."""

    def __init__(self, data_dir, **environment: str) -> None:
        self.data_dir, self.more = data_dir, environment
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        db = connection.settings_dict
        url = (
            f"postgresql://{quote(db['USER'])}:{quote(db['PASSWORD'])}"
            f"@{db['HOST']}:{db['PORT']}/{db['NAME']}"
        )
        return {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "console.settings.worker",
            "SLIPWAY_DATA_DIR": str(self.data_dir),
            "SLIPWAY_NODE": "test-node",
            "SLIPWAY_JOB_LEASE_S": "8",
            "SLIPWAY_JOB_HEARTBEAT_S": "1",
            "SLIPWAY_JOB_GRACE_S": "3",
            **self.more,
        }

    def start(self) -> None:
        self.spawn()
        wait_for(lambda: node_list().filter(ready=True).exists(), "the worker registers")

    def spawn(self) -> None:
        log = (self.data_dir / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "workers.celery", "worker", "--pool=threads",
             "--concurrency", "8", "-l", "WARNING", "--without-gossip", "--without-mingle",
             "-Q", "control,cpu"],
            cwd=settings.BASE_DIR, env=self.environment(), stdout=log, stderr=log,
        )  # fmt: skip

    def kill(self) -> None:
        """As a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As an orderly shutdown would."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


@pytest.fixture
def worker(transactional_db, tmp_path, settings):
    """A running worker; the test's own settings use its data directory."""
    settings.DATA_DIR = tmp_path
    process = WorkerProcess(tmp_path)
    process.start()
    yield process
    process.stop()
    log = (tmp_path / "worker.log").read_text()
    if log.strip():
        print(log[-8000:])
