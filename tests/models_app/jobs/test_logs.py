"""Log lines 1..N, once each; metrics that do not grow with the answer."""

import pytest

from models_app.jobs import logs, metrics
from models_app.jobs.models import MetricPoint
from models_app.jobs.recovery import recover_node
from tests.factories.jobs import NODE, claimed, placed

pytestmark = pytest.mark.django_db
AT = "2026-01-01T00:00:00.000Z"


def lines(*texts):
    return [(AT, "job", "info", text) for text in texts]


class TestLog:
    def test_numbers_run_on_over_chunks_and_attempts(self, team):
        job = claimed(team)
        logs.log_append(job=job, lines=lines("a", "b"), spool_offset=10)
        recover_node(node=NODE, incarnation="new")
        from models_app.jobs import attempts

        second = attempts.job_claim(worker="w2", node=NODE, job_id=placed(job).pk)
        logs.log_append(job=second, lines=lines("late"), spool_offset=20, epoch=1)
        logs.log_append(job=second, lines=lines("c"), spool_offset=5)
        second.refresh_from_db()

        found = logs.log_read(job=second)
        assert [(line.seq, line.epoch, line.text) for line in found] == [
            (1, 1, "a"),
            (2, 1, "b"),
            (3, 1, "late"),
            (4, 2, "c"),
        ]
        assert second.attempts.get(epoch=1).spool_offset == 20

    def test_is_read_from_any_number_on(self, team):
        job = claimed(team)
        for start in range(0, 100, 10):
            logs.log_append(
                job=job,
                lines=lines(*(f"line {n}" for n in range(start, start + 10))),
                spool_offset=0,
            )
        job.refresh_from_db()

        assert [line.seq for line in logs.log_read(job=job, after=37, limit=5)] == [
            38,
            39,
            40,
            41,
            42,
        ]
        assert logs.log_tail(job=job, count=3)[-1].text == "line 99"
        assert len(list(logs.log_text(job=job))) == 100

    def test_keeps_strange_text(self, team):
        job = claimed(team)
        text = "\u2400 \ud800 <script> \x1b[31mred\x1b[0m 词元"
        logs.log_append(job=job, lines=lines(text), spool_offset=0)

        assert logs.log_read(job=job)[0].text == text


class TestMetrics:
    def test_a_repeated_step_replaces_its_value(self, team):
        job = claimed(team)
        metrics.metrics_append(job=job, points=[("loss", 1, 2.0, AT), ("loss", 1, 3.0, AT)])
        metrics.metrics_append(job=job, points=[("loss", 1, 4.0, AT)])

        assert MetricPoint.objects.get().value == 4.0

    def test_a_long_series_is_bounded_and_keeps_its_spike(self, team):
        job = claimed(team)
        points = [("loss", n, 100.0 if n == 777 else 1.0, AT) for n in range(5000)]
        metrics.metrics_append(job=job, points=points)

        series = metrics.metric_series(job=job, name="loss", max_points=200)

        assert len(series) <= 200
        assert (777, 100.0) in series
        assert [step for step, _ in series] == sorted(step for step, _ in series)

    def test_values_that_are_no_numbers_are_left_out(self, team):
        job = claimed(team)
        metrics.metrics_append(job=job, points=[("loss", 1, float("nan"), AT)])

        assert metrics.metric_latest(job=job) == {}
