"""A worker that is told to end at once does so, whatever it waits for."""

import signal
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from tests.chaos.proxy import Proxy
from tests.workers.conftest import WorkerProcess, wait_for
from tests.workers.test_worker import children, submit, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class FarWorker(WorkerProcess):
    """Reaches its database through a proxy."""

    def __init__(self, data_dir) -> None:
        super().__init__(data_dir)
        self.proxy = Proxy(int(connection.settings_dict["PORT"]))

    def environment(self) -> dict[str, str]:
        found = super().environment()
        parts = urlsplit(found["DATABASE_URL"])
        place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.proxy.port}"
        return {**found, "DATABASE_URL": urlunsplit(parts._replace(netloc=place))}


def test_it_does_not_wait_for_a_database_that_is_away(team, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    worker = FarWorker(tmp_path)
    worker.start()
    try:
        job = submit(team, steps=1000, step_ms=50)
        until(job, lambda j: (j.step or 0) > 1, "it works")
        worker.proxy.set("hole")
        worker.process.send_signal(signal.SIGQUIT)

        assert worker.process.wait(8) != 0
        wait_for(lambda: not children(worker), "its children die with it")
    finally:
        worker.proxy.set("pass")
        worker.stop()
        worker.proxy.close()
