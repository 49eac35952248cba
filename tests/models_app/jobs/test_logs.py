"""Log lines 1..N, once each; metrics that do not grow with the answer."""

import json
import zlib

import pytest

from models_app.core.errors import StaleEpoch
from models_app.jobs import logs, metrics
from models_app.jobs.log_compaction import log_compact, logs_compact
from models_app.jobs.log_late import (
    StillHeld,
    attempts_without_end,
    log_append_late,
    logs_note_gaps,
)
from models_app.jobs.models import Job, JobAttempt, LogChunk, MetricPoint
from tests.factories.logs import AT, end, held_job, lines, next_attempt

pytestmark = pytest.mark.django_db


def stored(job):
    return [(line.seq, line.epoch, line.text) for line in logs.log_read(job=job, limit=10**6)]


class TestLog:
    def test_numbers_run_on_over_chunks_and_attempts(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a", "b"), spool_offset=10)
        second = next_attempt(job)
        logs.log_append(job=second, lines=lines("late"), spool_offset=20, epoch=1)
        logs.log_append(job=second, lines=lines("c"), spool_offset=5)

        assert stored(job) == [(1, 1, "a"), (2, 1, "b"), (3, 1, "late"), (4, 2, "c")]
        assert second.attempts.get(epoch=1).spool_offset == 20

    def test_is_read_from_any_number_on(self, team):
        job = held_job(team)
        for start in range(0, 100, 10):
            logs.log_append(job=job, lines=lines(*(f"line {n}" for n in range(start, start + 10))))
        job.refresh_from_db()

        numbers = [line.seq for line in logs.log_read(job=job, after=37, limit=5)]
        assert numbers == [38, 39, 40, 41, 42]
        assert logs.log_tail(job=job, count=3)[-1].text == "line 99"
        assert len(list(logs.log_text(job=job))) == 100
        assert next(logs.log_text(job=job, after=50)).endswith("line 50\n")

    @pytest.mark.parametrize(
        "text",
        [
            "\u2400 \ud800 <script> \x1b[31mred\x1b[0m 词元",
            "a\u2028b\u2029c\x85d\x0be",
            "",
            "\r \t,\\n",
            "x" * logs.MAX_LINE,
        ],
    )
    def test_keeps_strange_text(self, team, text):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("before", text, "after"))

        assert [line.text for line in logs.log_read(job=job)] == ["before", text, "after"]
        assert len(list(logs.log_text(job=job))) == 3

    def test_a_break_inside_a_line_does_not_shift_the_numbers(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("one\ntwo", "three"))

        assert stored(job) == [(1, 1, "one\u2424two"), (2, 1, "three")]

    def test_reads_chunks_of_an_earlier_time(self, team):
        job = held_job(team)
        old = json.dumps([[AT, "job", "info", "old"], [AT, "stderr", "warning", "older"]])
        LogChunk.objects.create(
            job=job, epoch=1, first_seq=1, last_seq=2, body=zlib.compress(old.encode())
        )
        Job.objects.filter(pk=job.pk).update(log_seq=2)
        logs.log_append(job=job, lines=lines("new"))

        assert stored(job) == [(1, 1, "old"), (2, 1, "older"), (3, 1, "new")]
        assert logs.log_read(job=job)[1].stream == "stderr"


class TestFence:
    def test_a_late_batch_of_a_lost_attempt_is_refused(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"), spool_from=0, spool_offset=10)
        next_attempt(job)

        with pytest.raises(StaleEpoch):
            logs.log_append(job=job, lines=lines("stale"), spool_from=10, spool_offset=20)
        assert stored(job) == [(1, 1, "a")]
        assert job.attempts.get(epoch=1).spool_offset == 10

    def test_a_replayed_batch_is_stored_once(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"), spool_from=0, spool_offset=10)

        with pytest.raises(logs.SpoolMoved):
            logs.log_append(job=job, lines=lines("a"), spool_from=0, spool_offset=10)
        job.refresh_from_db()
        assert (stored(job), job.log_seq) == ([(1, 1, "a")], 1)

    def test_a_batch_that_skips_a_part_of_the_spool_is_refused(self, team):
        job = held_job(team)

        with pytest.raises(logs.SpoolMoved):
            logs.log_append(job=job, lines=lines("b"), spool_from=10, spool_offset=20)
        assert stored(job) == []

    def test_an_expired_lease_may_write_nothing(self, team):
        job = held_job(team)
        Job.objects.filter(pk=job.pk).update(lease_until="2020-01-01T00:00:00Z")

        with pytest.raises(StaleEpoch):
            logs.log_append(job=job, lines=lines("a"))


def late(job, *texts, epoch=1, start, stop, complete=False):
    return log_append_late(
        job_id=job.pk, epoch=epoch, lines=lines(*texts), spool_from=start, spool_offset=stop,
        complete=complete,
    )  # fmt: skip


class TestLate:
    def test_a_tail_comes_in_without_a_lease_once(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"), spool_from=0, spool_offset=10)
        end(job)
        late(job, "b", start=10, stop=20, complete=True)

        with pytest.raises(logs.SpoolMoved):
            late(job, "b", start=10, stop=20, complete=True)
        assert stored(job) == [(1, 1, "a"), (2, 1, "b")]

    def test_an_attempt_that_holds_the_job_is_never_late(self, team):
        job = held_job(team)

        with pytest.raises(StillHeld):
            late(job, "a", start=0, stop=10)
        assert stored(job) == []
        assert job.attempts.get().spool_offset == 0

    def test_a_missing_end_is_said_once_and_closed_when_it_turns_up(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"), spool_from=0, spool_offset=10)
        second = next_attempt(job, node="node-2")

        assert attempts_without_end(job=second, here=[]) == 1
        assert attempts_without_end(job=second, here=[]) == 0
        logs.log_append(job=second, lines=lines("b"))
        late(second, "tail", start=10, stop=20, complete=True)

        found = logs.log_read(job=job)
        assert [line.stream for line in found] == ["job", "gap", "job", "gap", "job"]
        assert [line.seq for line in found] == [1, 2, 3, 4, 5]
        assert "attempt 1" in found[1].text and "node-1" in found[1].text
        assert "line 2" in found[3].text
        assert (found[4].epoch, found[4].text) == (1, "tail")

    def test_a_spool_that_is_here_is_not_missing(self, team):
        second = next_attempt(held_job(team))

        assert attempts_without_end(job=second, here=[1]) == 0

    def test_an_end_that_was_not_missing_after_all_is_said(self, team):
        second = next_attempt(held_job(team))
        attempts_without_end(job=second, here=[])
        late(second, start=0, stop=0, complete=True)

        assert "nothing is missing" in logs.log_read(job=second)[-1].text

    def test_ended_jobs_of_nodes_that_stay_away_get_their_note(self, team):
        job = held_job(team)
        end(job)
        assert logs_note_gaps() == 0
        JobAttempt.objects.update(ended_at="2020-01-01T00:00:00Z")

        assert (logs_note_gaps(), logs_note_gaps()) == (1, 0)
        assert logs.log_read(job=job)[0].stream == "gap"

    def test_a_complete_log_has_no_gap(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=[], spool_from=0, spool_offset=0, complete=True)
        second = next_attempt(job, node="node-2")

        assert attempts_without_end(job=second, here=[]) == 0


class TestCompaction:
    def test_small_chunks_become_few_rows_with_the_same_lines(self, team):
        job = held_job(team)
        for number in range(60):
            logs.log_append(job=job, lines=lines(f"line {number}", f"more {number}"))
        before = stored(job)

        assert log_compact(job_id=job.pk) == 59
        assert stored(job) == before
        logs.log_append(job=job, lines=lines("last"))
        end(job)
        assert logs_compact() == 1
        assert stored(job) == [*before, (121, 1, "last")]
        assert LogChunk.objects.get().grams is not None
        assert logs_compact() == 0

    def test_lines_of_different_attempts_stay_apart(self, team):
        job = held_job(team)
        logs.log_append(job=job, lines=lines("a"))
        logs.log_append(job=job, lines=lines("b"))
        second = next_attempt(job)
        logs.log_append(job=second, lines=lines("c"))
        log_compact(job_id=job.pk, ended=True)

        assert stored(job) == [(1, 1, "a"), (2, 1, "b"), (3, 2, "c")]
        assert LogChunk.objects.count() == 2

    def test_a_reader_in_the_middle_of_a_chunk_misses_nothing(self, team):
        job = held_job(team)
        for number in range(10):
            logs.log_append(job=job, lines=lines(str(number)))
        log_compact(job_id=job.pk)

        assert [line.seq for line in logs.log_read(job=job, after=4)] == [5, 6, 7, 8, 9, 10]


class TestMetrics:
    def test_a_repeated_step_replaces_its_value(self, team):
        job = held_job(team)
        metrics.metrics_append(job=job, points=[("loss", 1, 2.0, AT), ("loss", 1, 3.0, AT)])
        metrics.metrics_append(job=job, points=[("loss", 1, 4.0, AT)])

        assert MetricPoint.objects.get().value == 4.0

    def test_a_long_series_is_bounded_and_keeps_its_spike(self, team):
        job = held_job(team)
        points = [("loss", n, 100.0 if n == 777 else 1.0, AT) for n in range(5000)]
        metrics.metrics_append(job=job, points=points)

        series = metrics.metric_series(job=job, name="loss", max_points=200)

        assert len(series) <= 200
        assert (777, 100.0) in series
        assert [step for step, _ in series] == sorted(step for step, _ in series)

    def test_values_that_are_no_numbers_are_left_out(self, team):
        job = held_job(team)
        metrics.metrics_append(job=job, points=[("loss", 1, float("nan"), AT)])

        assert metrics.metric_latest(job=job) == {}
