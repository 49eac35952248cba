"""A preparation in a real child process: it ends, is stopped in the middle, and survives kills."""

import os
import signal

import pytest

from models_app.curation.services import dataset_prepare
from models_app.datasets.models import DatasetVersion
from models_app.datasets.quality import quality_of
from models_app.jobs.services import job_cancel
from models_app.jobs.states import TERMINAL
from tests.factories.corpora import lines_of, nearly, texts
from tests.factories.data import pending_version, stored
from tests.workers.conftest import wait_for
from tests.workers.test_worker import children

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("CHAOS" not in os.environ, reason="half a minute: run `make proofs`"),
]


def ended(version: DatasetVersion) -> DatasetVersion:
    def over():
        version.produced_by.refresh_from_db()
        return version.produced_by.state in TERMINAL

    wait_for(over, "the job ends")
    version.refresh_from_db()
    return version


def running(version: DatasetVersion) -> None:
    """The child is in the midst of its work."""

    def seen():
        version.produced_by.refresh_from_db()
        return version.produced_by.stage in ("cleaning", "comparing")

    wait_for(seen, "the preparation is under way")


def test_imported_checked_stopped_killed_and_prepared(worker, ben, team):
    base = texts(4000, words=250)
    data = "\n".join(lines_of([*base, *map(nearly, base[:40])])).encode()
    parent = ended(pending_version(ben, team, stored("a.jsonl", data)))
    assert parent.state == "ready", parent.error

    stopped = dataset_prepare(actor=ben, parent=parent, spec={})
    running(stopped)
    job_cancel(actor=ben, job=stopped.produced_by)
    assert (ended(stopped).state, stopped.manifest) == ("failed", {})

    killed = dataset_prepare(actor=ben, parent=parent, spec={})
    running(killed)
    for pid in children(worker):
        os.kill(int(pid), signal.SIGKILL)
    assert ended(killed).state == "ready", killed.error
    assert killed.produced_by.epoch == 2
    assert killed.source["steps"]["dropped"]["near"] == 40

    again = ended(dataset_prepare(actor=ben, parent=parent, spec={}))
    assert (again.produced_by.epoch, again.digest) == (1, killed.digest)
    wait_for(lambda: quality_of(again).state == "passed", "the check has run")
