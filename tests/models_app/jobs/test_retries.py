"""How often a job is tried again, and how long each attempt waits."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.jobs import attempts
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.retries import KILLS_IN_VAIN
from models_app.jobs.states import JobState
from tests.factories.jobs import placed
from tests.models_app.jobs.test_attempts import POINT, claim, claimed

pytestmark = pytest.mark.django_db

SHOT = {"exit_signal": "SIGKILL", "tail": 'File "/x/train.py", line 12, in step'}


def killed(job: Job) -> Job:
    return attempts.job_fail(
        job=job, code="killed", message="It was killed.", permanent=False, attempt=SHOT,
        from_outside=True,
    )  # fmt: skip


def rank_lost(job: Job) -> Job:
    """As the kind itself reports it: its process ends with a status of its own."""
    return attempts.job_fail(
        job=job, code="killed", message="Process 1 of 2 was killed by SIGKILL.", permanent=False,
        attempt={"exit_code": 1, "tail": SHOT["tail"]},
    )  # fmt: skip


def again(job: Job) -> Job:
    return claim(placed(job, "node-2").pk)


def waits(job: Job) -> int:
    return max(0, round((job.run_after - now()) / dt.timedelta(seconds=1)))


@pytest.mark.parametrize("end", [killed, rank_lost])
class TestKilledFromOutside:
    def test_the_next_attempt_starts_at_once_and_later_ones_soon(self, team, end):
        job, waited = claimed(team), []
        for _ in range(5):
            ended = end(job)
            waited.append(waits(ended))
            job = again(ended)

        assert waited == [0, 1, 3, 3, 3]
        assert (job.state, job.barren_attempts) == (JobState.RUNNING, 0)

    def test_a_checkpoint_makes_up_for_all_of_it(self, team, end):
        job = again(end(again(end(claimed(team)))))
        attempts.checkpoint_record(job=job, checkpoint=POINT)

        assert waits(end(job)) == 0

    def test_it_is_given_up_in_the_end(self, team, end):
        job = claimed(team)
        for _ in range(KILLS_IN_VAIN - 1):
            job = again(end(job))
        job = end(job)

        assert (job.state, job.reason_code) == (JobState.FAILED, "retries_exhausted")
        assert "25 in a row brought nothing new" in job.reason


class TestOthers:
    def test_a_signal_with_a_reason_of_its_own_counts_as_before(self, team):
        """For want of memory of the machine, say: more attempts would fill it again."""
        ended = attempts.job_fail(
            job=claimed(team), code="killed", message="The machine ran out of memory.",
            permanent=False, attempt=SHOT,
        )  # fmt: skip

        assert (waits(ended), ended.barren_attempts) == (1, 1)

    def test_a_crash_of_a_rank_at_the_same_place_is_final(self, team):
        def crash(job):
            return attempts.job_fail(
                job=job, code="killed", message="Process 1 of 2 was killed by SIGSEGV.",
                permanent=False, attempt={"exit_code": 1, "tail": SHOT["tail"]},
            )  # fmt: skip

        assert crash(again(crash(claimed(team)))).reason_code == "poison"

    def test_a_job_without_checkpoints_is_given_up_as_soon_as_ever(self, team, monkeypatch):
        monkeypatch.setattr(type(job_kinds.get("self_test")), "pausable", False)
        job = claimed(team)
        for _ in range(job.max_attempts - 1):
            job = again(killed(job))

        assert killed(job).reason_code == "retries_exhausted"
