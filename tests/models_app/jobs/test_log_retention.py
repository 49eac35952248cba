"""Lines expire by age and size; numbers stay, and what was dropped is said."""

import pytest

from models_app.jobs import logs
from models_app.jobs.log_compaction import log_compact
from models_app.jobs.log_retention import logs_expire
from models_app.jobs.log_sweep import logs_sweep
from models_app.jobs.models import Job, JobAttempt, LogChunk
from tests.factories.logs import end, held_job, lines

pytestmark = pytest.mark.django_db


def kept(job):
    return [line.seq for line in logs.log_read(job=job, limit=10**6)]


class TestAge:
    def test_old_lines_go_and_new_ones_stay(self, team, settings):
        settings.LOG_KEEP_DAYS = 30
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a", "b"))
        LogChunk.objects.update(stored_at="2020-01-01T00:00:00Z")
        logs.log_append(job=job, lines=lines("c"))
        end(job)

        assert logs_expire() == {"old": 1, "large": 0}
        job.refresh_from_db()
        assert (kept(job), job.log_first, job.log_seq) == ([3], 3, 3)
        assert logs_expire() == {"old": 0, "large": 0}

    def test_zero_days_keep_everything(self, team, settings):
        settings.LOG_KEEP_DAYS = 0
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"))
        LogChunk.objects.update(stored_at="2020-01-01T00:00:00Z")

        assert logs_expire()["old"] == 0
        assert kept(job) == [1]


class TestSize:
    def test_a_running_job_drops_its_oldest_lines_and_says_so(self, team, settings):
        settings.LOG_MAX_MIB = 1
        job = held_job(team)
        for _ in range(12):
            logs.log_append(job=job, lines=lines(*["x" * 1000] * 100))

        assert logs_expire()["large"] == 1
        job.refresh_from_db()
        found = logs.log_read(job=job, limit=10**6)
        assert job.log_first == 301 == found[0].seq
        assert [line.seq for line in found] == list(range(301, 1202))
        assert (found[-1].stream, found[-1].level) == ("gap", "warning")
        assert "Lines 1 to 300" in found[-1].text
        assert job.log_bytes <= 1 << 20
        assert logs_expire()["large"] == 0

    def test_a_small_log_is_left_alone(self, team, settings):
        settings.LOG_MAX_MIB = 1
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"))

        assert logs_expire() == {"old": 0, "large": 0}
        assert kept(job) == [1]

    def test_joining_chunks_does_not_bring_lines_back(self, team, settings):
        settings.LOG_MAX_MIB = 1
        job = held_job(team)
        for _ in range(12):
            logs.log_append(job=job, lines=lines(*["x" * 1000] * 100))
        logs_expire()
        log_compact(job_id=job.pk, ended=True)

        assert kept(job)[0] == 301
        assert Job.objects.get(pk=job.pk).log_first == 301


class TestSweep:
    def test_does_all_that_the_clock_must_do(self, team, settings):
        settings.LOG_KEEP_DAYS = 30
        job = held_job(team)
        logs.log_append(job=job, lines=lines("old"))
        LogChunk.objects.update(stored_at="2020-01-01T00:00:00Z")
        logs.log_append(job=job, lines=lines("new"))
        end(job)
        JobAttempt.objects.update(ended_at="2020-01-01T00:00:00Z")

        assert logs_sweep(now=True) == 3
        assert [line.stream for line in logs.log_read(job=job)] == ["job", "gap"]
        assert LogChunk.objects.get().grams is not None
        assert logs_sweep() == 0
