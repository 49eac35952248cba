"""An urgent job makes less urgent ones that can save their work give way."""

import pytest

from models_app.jobs.attempts import job_fail, job_finish, job_release
from models_app.jobs.control import job_pause, job_resume
from models_app.jobs.placement import place_jobs
from tests.factories.jobs import claimed, placed, submitted
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


def states(*jobs):
    for job in jobs:
        job.refresh_from_db()
    return [str(job.state) for job in jobs]


class TestPreemption:
    def test_asks_the_least_urgent_job_to_give_way(self, team):
        ready_node("node-1", slots=2)
        low, middle = claimed(team, priority=-5), claimed(team, priority=1)
        urgent = submitted(team, priority=10)
        place_jobs()

        assert states(low, middle, urgent) == ["preempting", "running", "pending"]
        assert f"gives way to job {urgent.pk}" in low.reason

    def test_asks_nobody_of_the_same_priority(self, team):
        ready_node("node-1", slots=1)
        running = claimed(team)
        submitted(team)
        place_jobs()

        assert states(running) == ["running"]

    def test_asks_no_job_that_cannot_save_its_work(self, team, monkeypatch):
        from models_app.jobs.kind import job_kinds

        monkeypatch.setattr(type(job_kinds.get("self_test")), "pausable", False)
        ready_node("node-1", slots=1)
        running = claimed(team)
        submitted(team, priority=10)
        place_jobs()

        assert states(running) == ["running"]

    def test_asks_only_as_many_as_are_needed_and_only_once(self, team):
        ready_node("node-1", slots=4, memory_mib=1000)
        small = [claimed(team, resources={"memory_mib": 200}) for _ in range(2)]
        large = claimed(team, resources={"memory_mib": 500})
        urgent = submitted(team, priority=10, resources={"memory_mib": 550})
        place_jobs()
        place_jobs()

        assert states(*small, large, urgent) == ["running", "running", "preempting", "pending"]

    def test_the_urgent_job_takes_the_place_and_the_other_goes_on_later(self, team):
        ready_node("node-1", slots=1)
        low = claimed(team)
        urgent = submitted(team, priority=10)
        place_jobs()
        job_release(job=low, message="", attempt={})
        place_jobs()

        assert states(low, urgent) == ["pending", "scheduled"]
        assert low.attempts.get().reason_code == "preempted"
        assert low.barren_attempts == 0

    def test_a_job_that_ends_before_it_has_given_way_has_succeeded(self, team):
        ready_node("node-1", slots=1)
        low = claimed(team)
        submitted(team, priority=10)
        place_jobs()
        job_finish(job=low, result={"digest": "x", "steps": 3}, attempt={})

        assert states(low) == ["succeeded"]

    def test_a_job_that_dies_on_its_way_out_is_queued_again(self, team):
        ready_node("node-1", slots=1)
        low = claimed(team)
        submitted(team, priority=10)
        place_jobs()
        job_fail(job=low, code="killed", message="gone", permanent=False, attempt={})

        assert states(low) == ["pending"]


class TestPause:
    def test_a_running_job_is_asked_to_save_and_then_waits(self, team, ben):
        ready_node("node-1")
        job = claimed(team)
        job_pause(actor=ben, job=job)
        assert states(job) == ["pausing"]

        job_release(job=job, message="", attempt={})
        place_jobs()
        assert states(job) == ["paused"]

        job_resume(actor=ben, job=job)
        place_jobs()
        assert states(job) == ["scheduled"]

    def test_a_queued_or_placed_job_waits_at_once(self, team, ben):
        queued, starting = submitted(team), placed(submitted(team))
        for job in (queued, starting):
            job_pause(actor=ben, job=job)

        assert states(queued, starting) == ["paused", "paused"]
