"""Signals of trainings that go wrong, from their stored figures, and the way to an alert."""

import datetime as dt

import pytest
from django.db.models.functions import Now

from models_app.alerts.measuring import MEASURED
from models_app.alerts.signals import Question
from models_app.configs.specs.alerts import starting_rules
from models_app.jobs.models import Job, JobAttempt
from tests.factories.alerts import evaluated, rule, watched
from tests.factories.trainings import ranks, told, training

pytestmark = pytest.mark.django_db


def ask(signal, **narrowed):
    return MEASURED[signal](Question(**{"minutes": 5, **narrowed}))


@pytest.fixture
def job(team):
    return training(team)


def key(job):
    return job.team_id, str(job.pk)


class TestSpike:
    def test_is_the_highest_loss_over_what_was_usual_before_it(self, job):
        told(job, "loss", [8.0, 6.0, 4.0, 3.0, *[2.0] * 40, 7.0, 2.0, 2.0])

        assert ask("training_loss_spike") == {key(job): pytest.approx(3.5)}
        assert ask("training_loss_spike", pool="other") == {}

    def test_of_long_ago_is_none(self, job):
        told(job, "loss", [*[2.0] * 40, 7.0, 2.0], ago=3600)
        told(job, "loss", [2.0] * 5, first=500)

        assert ask("training_loss_spike") == {key(job): 1.0}

    def test_needs_something_usual(self, job):
        told(job, "loss", [2.0, 9.0, 2.0])

        assert ask("training_loss_spike") == {}


def test_a_loss_that_has_gone_up_to_stay_is_told_from_one_spike(job):
    told(job, "loss", [*[2.0] * 40, 9.0, *[2.0] * 4])
    assert ask("training_loss_rise") == {key(job): 1.0}

    told(job, "loss", [3.0] * 10, first=1000)
    assert ask("training_loss_rise") == {key(job): 1.5}


class TestBadSteps:
    def test_counts_what_came_in_the_last_minutes(self, job):
        told(job, "skipped_steps", [1, 2], ago=3600)
        assert ask("training_bad_steps") == {key(job): 0}

        told(job, "skipped_steps", [4], first=500)
        told(job, "rewinds", [1], first=510)
        assert ask("training_bad_steps") == {key(job): 3}

    def test_names_the_training_that_ended_so(self, job):
        ended = {"state": "failed", "lease_until": None}
        Job.objects.filter(pk=job.pk).update(finished_at=Now(), reason_code="diverged", **ended)
        assert ask("training_bad_steps") == {key(job): 1}

        Job.objects.filter(pk=job.pk).update(finished_at=Now() - dt.timedelta(hours=1))
        assert ask("training_bad_steps") == {}


class TestSilence:
    def silent(self, job, seconds):
        Job.objects.filter(pk=job.pk).update(progress_at=Now() - dt.timedelta(seconds=seconds))

    def test_is_counted_in_the_longest_usual_pause(self, job):
        told(job, "loss", [2.0] * 10, pause=10, ago=200)
        told(job, "loss", [2.0], first=200, ago=180)
        self.silent(job, 160)

        assert ask("training_silence") == {key(job): pytest.approx(8, abs=0.3)}

    def test_steps_without_a_point_of_the_chart_are_heard(self, job):
        told(job, "loss", [2.0] * 10, pause=10, ago=200)
        self.silent(job, 1)

        assert ask("training_silence") == {key(job): 0}

    def test_is_not_expected_of_what_does_not_step(self, job):
        told(job, "loss", [2.0] * 10, pause=10, ago=500)
        self.silent(job, 500)
        Job.objects.filter(pk=job.pk).update(stage="saving")

        assert ask("training_silence") == {}


class TestSlowRank:
    def test_is_measured_by_its_own_work(self, job):
        ranks(job, 0.3, 0.9, 0.3, 0.2)

        assert ask("training_slow_rank") == {key(job): pytest.approx(3)}

    def test_of_two_is_the_slower_one(self, job):
        ranks(job, 0.8, 0.4)

        assert ask("training_slow_rank") == {key(job): pytest.approx(2)}

    def test_is_not_known_where_waiting_is_not_told(self, job):
        told(job, "rank_0_step_seconds", [1.0])
        told(job, "rank_1_step_seconds", [1.0])

        assert ask("training_slow_rank") == {}

    def test_processes_of_an_earlier_attempt_do_not_count(self, job):
        ranks(job, 0.8, 0.4)
        JobAttempt.objects.filter(job=job).update(started_at=Now() + dt.timedelta(seconds=1))

        assert ask("training_slow_rank") == {}


class TestOverfitting:
    def test_counts_the_looks_at_which_only_training_got_better(self, job):
        told(job, "loss", [5 - 0.1 * place for place in range(40)])
        told(job, "validation_loss", [3.0, 2.5, 2.6, 2.7, 2.9], first=80, every=80)

        assert ask("training_overfitting") == {key(job): 3}

    def test_begins_anew_after_a_better_look(self, job):
        told(job, "loss", [5 - 0.1 * place for place in range(40)])
        told(job, "validation_loss", [2.5, 2.6, 2.7, 2.6, 2.7], first=80, every=80)

        assert ask("training_overfitting") == {key(job): 1}

    def test_where_training_gets_worse_too_it_is_something_else(self, job):
        told(job, "loss", [2 + 0.1 * place for place in range(40)])
        told(job, "validation_loss", [2.5, 2.6, 2.7, 2.8, 2.9], first=80, every=80)

        assert ask("training_overfitting") == {key(job): 0}


def test_other_jobs_and_ended_ones_are_not_looked_at(team, job):
    told(job, "loss", [*[2.0] * 40, 7.0])
    Job.objects.filter(pk=job.pk).update(state="succeeded", lease_until=None)
    other = training(team, kind="self_test")
    told(other, "loss", [*[2.0] * 40, 7.0])

    names = {one.signal for one in starting_rules() if one.signal.startswith("training_")}
    assert len(names) == 6
    assert {name: ask(name) for name in names} == {name: {} for name in names}


def test_an_alert_comes_with_the_spike_and_ends_with_the_training(ana, team, job):
    told(job, "loss", [*[2.0] * 40, 7.0])
    watched(ana, team, rule("jump", signal="training_loss_spike", above=3, note="Look."))
    alert = evaluated(str(job.pk))
    assert (alert.state, alert.subject_kind, alert.value) == ("firing", "training", 3.5)

    Job.objects.filter(pk=job.pk).update(state="succeeded", lease_until=None)
    evaluated()
    type(alert).objects.update(clear_since=Now() - dt.timedelta(minutes=2))
    assert evaluated(str(job.pk)).ended_by == "no_data"


def test_the_rules_one_begins_with_are_silent_about_a_healthy_training(ana, team, job):
    told(job, "loss", [8 / (1 + place) ** 0.5 for place in range(60)])
    told(job, "validation_loss", [8.0, 4.0, 3.0, 2.5], first=100, every=100)
    ranks(job, 0.5, 0.55)
    rules = [one.plain() for one in starting_rules() if one.signal.startswith("training_")]
    watched(ana, team, *rules)

    assert evaluated() is None
