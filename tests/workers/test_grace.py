"""How long a polite stop may take: the general time, or that of the kind where somebody asks."""

import threading

import pytest

from models_app.core.actor import SYSTEM
from models_app.jobs.services import job_cancel
from tests.workers.conftest import wait_for
from tests.workers.isolation.test_attempts import held
from workers.attempt import Attempt
from workers.jobs.self_test import SelfTest

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
STUBBORN = {"steps": 10_000, "ignore_stop": True}


@pytest.fixture
def supervised(team, settings):
    """A stubborn job under supervision, and the event that stops its node."""
    settings.JOB_HEARTBEAT_S = 1
    stopping, threads = threading.Event(), []

    def begin(**params):
        job = held(team, params={**STUBBORN, **params})
        thread = threading.Thread(target=Attempt(job, stopping=stopping).run)
        threads.append(thread)
        thread.start()

        def runs():
            job.refresh_from_db()
            return job.step

        wait_for(runs, "its first step")
        return job, thread, stopping

    yield begin
    stopping.set()
    for thread in threads:
        thread.join(60)


def test_a_kind_may_have_a_time_of_its_own(supervised, settings, monkeypatch):
    settings.JOB_GRACE_S = 600
    monkeypatch.setattr(SelfTest, "grace_s", lambda self, params: 0.5)
    job, thread, _stopping = supervised()
    job_cancel(actor=SYSTEM, job=job)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == "canceled"
    assert job.attempts.get().exit_signal == "SIGKILL"


def test_a_node_that_stops_cuts_it_short(supervised, settings, monkeypatch):
    settings.JOB_GRACE_S = 1
    monkeypatch.setattr(SelfTest, "grace_s", lambda self, params: 600)
    monkeypatch.setattr(SelfTest, "long_lived", True)
    job, thread, stopping = supervised()
    job_cancel(actor=SYSTEM, job=job)

    def asked():
        job.refresh_from_db()
        return job.state == "canceling"

    wait_for(asked, "the wish is known")
    assert thread.is_alive()
    stopping.set()
    thread.join(60)
    job.refresh_from_db()
    assert job.state == "canceled"
