"""Two processes at the same row at the same moment: one wins, and nothing is placed twice."""

import datetime as dt
import threading

import pytest
from django.db import connection

from models_app.core.clock import now
from models_app.jobs.claims import job_claim
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.recovery import return_unclaimed
from models_app.jobs.states import JobState
from tests.factories.jobs import NODE, placed, submitted
from tests.factories.nodes import ready_node
from tests.waiting import WAIT_S

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*actions):
    """Run all in threads that begin together; what each returned."""
    start, found = threading.Barrier(len(actions)), [None] * len(actions)

    def run(number):
        start.wait(WAIT_S)
        found[number] = actions[number]()
        connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(actions))]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    return found


def test_many_placers_fill_a_node_exactly(team):
    jobs = [submitted(team) for _ in range(12)]
    ready_node("n1", slots=5)

    counts = at_once(*[place_jobs] * 4)

    assert sum(counts) == 5
    assert Job.objects.filter(pk__in=[job.pk for job in jobs], node_name="n1").count() == 5


def test_a_job_submitted_during_a_round_is_not_forgotten(team):
    ready_node("n1", slots=100)

    at_once(*[lambda: submitted(team)] * 8)

    assert Job.objects.filter(state=JobState.SCHEDULED).count() == 8


def test_a_late_claim_and_the_return_of_its_place_do_not_both_succeed(team):
    ready_node(NODE)
    for _ in range(5):
        job = placed(submitted(team))
        Job.objects.filter(pk=job.pk).update(scheduled_at=now() - dt.timedelta(minutes=1))

        claim, returned = at_once(
            lambda pk=job.pk: job_claim(worker="w", node=NODE, job_id=pk), return_unclaimed
        )

        job.refresh_from_db()
        assert (claim is not None) != bool(returned)
        assert (job.state == JobState.RUNNING) == (claim is not None)
        assert job.attempts.count() == (claim is not None)
