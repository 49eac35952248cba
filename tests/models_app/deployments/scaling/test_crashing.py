"""A replica that dies again and again waits longer each time, and the others go on."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.deployments.reconcile import reconcile_all
from models_app.deployments.states import ReplicaState
from models_app.jobs import attempts
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.states import JobState
from tests.factories.deployments import live, make_ready, serving

pytestmark = pytest.mark.django_db


def kill(replica, words="bye") -> float:
    """Its process is killed; returns how many seconds the next attempt waits."""
    job = Job.objects.get(pk=replica.job_id)
    attempts.job_fail(
        job=job, code="killed", message="Killed.", permanent=False, from_outside=True,
        attempt={"exit_signal": "SIGKILL", "tail": words},
    )  # fmt: skip
    job.refresh_from_db()
    assert job.state == JobState.PENDING
    return max(0.0, (job.run_after - now()).total_seconds())


def test_five_kills_wait_longer_each_time_and_keep_their_last_words(ana, team):
    deployment = serving(ana, team, replicas=2)
    victim, other = live(deployment)
    waits = []
    for number in range(5):
        waits.append(round(kill(victim, f"death {number}")))
        reconcile_all()
        victim.refresh_from_db()
        assert victim.state == ReplicaState.CRASHED
        other.refresh_from_db()
        assert other.state == ReplicaState.READY
        make_ready(victim)
    assert waits == [0, 1, 3, 7, 15]
    assert len(live(deployment)) == 2
    tails = JobAttempt.objects.filter(job=victim.job_id, ended_at__isnull=False).order_by("epoch")
    assert [row.tail for row in tails] == [f"death {number}" for number in range(5)]


def test_deaths_are_forgotten_after_ten_quiet_minutes(ana, team):
    deployment = serving(ana, team)
    (victim,) = live(deployment)
    for _ in range(4):
        kill(victim)
        make_ready(victim)
    JobAttempt.objects.update(ended_at=now() - dt.timedelta(minutes=11))
    assert kill(victim) == 0


def test_a_lost_node_is_no_death(ana, team):
    deployment = serving(ana, team)
    (victim,) = live(deployment)
    for _ in range(4):
        job = Job.objects.get(pk=victim.job_id)
        attempts.job_release(job=job, message="The worker was shut down.", attempt={})
        make_ready(victim)
    assert kill(victim) == 0
