"""The driver: what it starts, stops and concludes, from rows alone."""

import pytest
from django.db import connection, transaction

from models_app.audit.models import AuditEvent
from models_app.core.errors import WrongState
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from models_app.sweeps.checking import Halving
from models_app.sweeps.models import Sweep
from models_app.sweeps.services import (
    driving,
    sweep_advance,
    sweep_pause,
    sweep_resume,
    sweep_stop,
    sweeps_advance,
)
from models_app.sweeps.services.driving import ALIKE
from tests.fakes.trainings import Workers
from tests.models_app.sweeps.conftest import BASE, GRID, HALVING, driven, toy

pytestmark = pytest.mark.django_db


def story(sweep):
    """All that was decided, without times and numbers of rows."""
    return [
        (t.number, t.values, t.state, t.value, t.rungs, t.ending)
        for t in sweep.trials.order_by("number")
    ]


class TestEarlyStopping:
    def test_most_trials_are_stopped_and_the_best_is_that_of_all(self, start):
        sweep = start(GRID, strategy="grid", halving=HALVING, max_trials=30, parallel=4, seed=3)
        workers = driven(sweep)

        trials = list(sweep.trials.all())
        done = [t for t in trials if t.state == "done"]
        stopped = [t for t in trials if t.state == "stopped"]
        best = min(done, key=lambda t: t.value)
        exhaustive = min(trials, key=lambda t: toy(t.values, 90))
        assert (sweep.state, len(trials)) == ("done", 18)
        assert len(stopped) >= 9
        assert len(done) + len(stopped) == 18
        assert best == exhaustive
        assert best.value == toy(best.values, 90)
        assert workers.total_steps < 18 * 90 / 2

    def test_a_stopped_trial_is_a_cancelled_training_that_says_why(self, start):
        sweep = start({"learning_rate": GRID["learning_rate"]}, strategy="grid", halving=HALVING,
                      parallel=3)  # fmt: skip
        driven(sweep)

        trial = sweep.trials.filter(state="stopped").first()
        assert trial.ending == "beaten"
        assert (trial.job.state, trial.job.reason_code) == ("canceled", "stopped_early")
        assert trial.job.reason == trial.version.error == trial.reason
        assert f"Stopped by sweep {sweep.pk}: Not among the best 1/3 of" in trial.reason
        assert trial.version.state == "failed"
        assert trial.value == trial.rungs[-1]["value"]
        assert sweep.rungs == [10, 30]

    def test_the_same_seed_decides_the_same(self, start):
        space = {"learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}
        options = {"strategy": "tpe", "halving": HALVING, "max_trials": 11, "parallel": 3}
        spec = {**BASE, "min_learning_rate": 0.0}
        first, again, other = (start(space, spec=spec, seed=s, **options) for s in (1, 1, 2))
        for sweep in (first, again, other):
            driven(sweep)

        assert story(first) == story(again)
        assert [t.values for t in first.trials.all()] != [t.values for t in other.trials.all()]

    def test_one_that_diverges_counts_as_the_worst_and_ends_nothing(self, start):
        def curve(values, step):
            return None if values["learning_rate"] == 1e-2 and step > 10 else toy(values, step)

        sweep = start(
            {"learning_rate": GRID["learning_rate"]}, strategy="grid", halving=HALVING, parallel=3
        )
        driven(sweep, curve)

        states = {t.values["learning_rate"]: t.state for t in sweep.trials.all()}
        assert sweep.state == "done"
        assert states[1e-3] == "done"
        assert states[1e-2] in ("failed", "stopped")

    def test_one_that_broke_on_the_way_to_a_rung_is_beaten_there(self, start):
        """Of four that set out two go on; without those that broke it would be one of two."""

        def curve(values, step):
            return None if values["dropout"] > 0.1 else toy(values, step)

        sweep = start(
            {"dropout": {"values": [0.0, 0.1, 0.2, 0.3]}}, strategy="grid", parallel=4,
            halving=Halving(min_resource=30, reduction_factor=2),
        )  # fmt: skip
        driven(sweep, curve, every=30)

        assert sweep.rungs == [30, 60]
        trials = {t.values["dropout"]: (t.state, t.code, len(t.rungs)) for t in sweep.trials.all()}
        assert trials == {
            0.0: ("done", "", 2), 0.1: ("stopped", "", 2),
            0.2: ("failed", "diverged", 0), 0.3: ("failed", "diverged", 0),
        }  # fmt: skip


class TestDriver:
    def test_starts_trainings_of_the_owner_as_far_as_allowed(self, start, ana):
        sweep = start(GRID, strategy="grid", max_trials=30, parallel=3, priority=-5)
        sweep_advance(sweep.pk)
        sweep_advance(sweep.pk)

        jobs = Job.objects.filter(kind="train")
        assert sweep.trials.count() == jobs.count() == 3
        assert {(job.created_by, job.priority) for job in jobs} == {(ana, -5)}
        trial = sweep.trials.first()
        assert trial.version.config_revision.reason == f"Trial 1 of sweep {sweep.pk}"
        assert {**BASE, **trial.values}.items() <= trial.version.config_revision.spec.items()

    def test_one_that_dies_has_decided_nothing_and_the_next_goes_on(self, start, monkeypatch):
        space = {"learning_rate": GRID["learning_rate"], "batch_size": {"values": [4, 8, 16]}}
        sweep = start(space, strategy="grid", halving=HALVING, parallel=3)
        workers, deaths = Workers(sweep, toy, every=10), 0

        def dying(*args, **kwargs):
            raise KeyboardInterrupt

        while True:
            for name in ("trials_settle", "trial_start", "sweep_move"):
                before = story(sweep), Job.objects.filter(state="canceling").count()
                with monkeypatch.context() as patch:
                    patch.setattr(driving, name, dying)
                    try:
                        sweep_advance(sweep.pk)
                    except KeyboardInterrupt:
                        deaths += 1
                        after = story(sweep), Job.objects.filter(state="canceling").count()
                        assert after == before
            sweep_advance(sweep.pk)
            sweep.refresh_from_db()
            if sweep.state == "done":
                break
            workers.work()

        assert deaths > 9
        assert sweep.trials.count() == 9
        best = min(sweep.trials.filter(state="done"), key=lambda t: t.value)
        assert best.values == {"learning_rate": 1e-3, "batch_size": 8}

    def test_three_equal_mistakes_in_a_row_end_it(self, start, data):
        sweep = start({"dropout": {"low": 0.0, "high": 0.5}}, max_trials=20, parallel=1)
        type(data).objects.filter(pk=data.pk).update(state="failed")
        sweep_advance(sweep.pk)

        sweep.refresh_from_db()
        trials = list(sweep.trials.all())
        assert (sweep.state, len(trials)) == ("failed", ALIKE)
        assert {(t.state, t.code, t.signature) for t in trials} == {
            ("failed", "config_invalid", "dataset_version")
        }
        assert "3 trials in a row failed by the same: dataset_version: " in sweep.reason
        assert not Job.objects.filter(kind="train").exists()

    def test_an_owner_who_may_no_longer_train_ends_it(self, start, ana):
        sweep = start(GRID, strategy="grid", max_trials=30)
        ana.memberships.update(role="viewer")
        sweep_advance(sweep.pk)

        sweep.refresh_from_db()
        assert sweep.state == "failed"
        assert "No trial could be started" in sweep.reason
        assert "registry.add_version" in sweep.reason

    def test_settings_are_not_tried_twice(self, start):
        sweep = start({"batch_size": {"low": 4, "high": 6}}, max_trials=20, parallel=1)
        driven(sweep, every=90)

        assert sorted(t.values["batch_size"] for t in sweep.trials.all()) == [4, 5, 6]
        assert sweep.state == "done"

    def test_a_training_cancelled_by_somebody_is_a_stopped_trial(self, start, ana):
        sweep = start({"batch_size": {"values": [4, 8]}}, parallel=2)
        sweep_advance(sweep.pk)
        job_cancel(actor=ana, job=sweep.trials.first().job)
        sweep_advance(sweep.pk)

        trial = sweep.trials.first()
        assert (trial.state, trial.ending) == ("stopped", "person")
        assert "Cancelled by" in trial.reason

    def test_the_tick_goes_on_past_a_sweep_that_cannot_be_advanced(self, start, monkeypatch):
        broken = start(GRID, strategy="grid", max_trials=30)
        sound = start(GRID, strategy="grid", max_trials=30)
        Sweep.objects.filter(pk=broken.pk).update(strategy="grid", space={"gone": {}})
        assert sweeps_advance() == 2

        assert broken.trials.count() == 0
        assert sound.trials.count() == 2


class TestControl:
    def test_paused_nothing_starts_and_what_runs_goes_on(self, start, ana):
        sweep = start({"batch_size": {"values": [4, 8, 16]}}, strategy="grid", parallel=1)
        sweep_advance(sweep.pk)
        sweep_pause(actor=ana, sweep=sweep)
        workers = Workers(sweep, toy, every=90)
        workers.work()
        sweep_advance(sweep.pk)

        assert [t.state for t in sweep.trials.all()] == ["done"]
        sweep_resume(actor=ana, sweep=sweep)
        driven(sweep, every=90)
        assert [t.state for t in sweep.trials.all()] == ["done"] * 3
        with pytest.raises(WrongState):
            sweep_pause(actor=ana, sweep=sweep)

    def test_stopping_cancels_what_runs(self, start, ana):
        sweep = start({"batch_size": {"values": [4, 8, 16]}}, strategy="grid", parallel=2)
        sweep_advance(sweep.pk)
        workers = Workers(sweep, toy, every=10)
        first = sweep.trials.first()
        workers._train(first)
        sweep = sweep_stop(actor=ana, sweep=sweep)

        assert sweep.state == "stopped"
        assert [t.state for t in sweep.trials.all()] == ["stopping", "stopped"]
        workers.work()
        sweeps_advance()
        trials = list(sweep.trials.all())
        assert [(t.state, t.ending) for t in trials] == [("stopped", "sweep")] * 2
        assert {t.job.state for t in trials} == {"canceled"}
        assert {t.job.reason for t in trials} == {f"Sweep {sweep.pk} was stopped by {ana.label}."}
        assert sweeps_advance() == 0

    def test_everything_is_in_the_audit_log(self, start, ana):
        sweep = start({"batch_size": {"values": [4, 8]}}, strategy="grid", parallel=1)
        sweep_pause(actor=ana, sweep=sweep)
        sweep_resume(actor=ana, sweep=sweep)
        driven(sweep, every=90)

        events = AuditEvent.objects.filter(action__regex="^(sweep|trial)[.]")
        assert list(events.order_by("pk").values_list("action", flat=True)) == [
            "sweep.started", "sweep.paused", "sweep.resumed", "trial.started", "trial.started",
            "sweep.finishing", "sweep.completed",
        ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_drivers_at_once_decide_once(start):
    """The second one finds the row locked, leaves it alone, and does not wait."""
    import threading

    from django.db import connections

    sweep = start(GRID, strategy="grid", max_trials=30, parallel=2)
    found = []

    def other():
        found.append(sweep_advance(sweep.pk))
        connections.close_all()

    with transaction.atomic():
        Sweep.objects.select_for_update().get(pk=sweep.pk)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert found == [None]

    threads = [threading.Thread(target=other) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()

    assert len(found) == 7
    assert sorted(sweep.trials.values_list("number", flat=True)) == [1, 2]
    assert Job.objects.filter(kind="train").count() == 2
