"""Drills by the clock: once in a period for each team, the version rebuilt longest ago."""

import datetime as dt
import threading

import pytest
from django.db import connections

from models_app.core.clock import now
from models_app.core.errors import InvalidInput, PermissionDenied
from models_app.registry.drill_selectors import drill_candidates, proven_at
from models_app.registry.models import Drill, DrillPlan, ModelVersion, Reproduction
from models_app.registry.services import (
    drill_plan_set,
    drill_start,
    drilling,
    drills_due,
    training_start,
)
from tests.matrix import assert_needs_sign_in
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def proud(ana, team, model, data):
    """A version in production with a record of its training, which nobody waits for here."""
    version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=TINY)
    ModelVersion.objects.filter(pk=version.pk).update(state="ready", stage="production")
    version.refresh_from_db()
    return version


@pytest.fixture
def on(ana, team):
    return drill_plan_set(actor=ana, team=team, is_on=True)


def copy_of(version, number, **fields):
    """Another version of the same training."""
    row = ModelVersion.objects.get(pk=version.pk)
    row.pk, row.number, row.stage = None, number, "production"
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(force_insert=True)
    return row


def rebuilt(version, days_ago, verdict="equal"):
    at = now() - dt.timedelta(days=days_ago)
    return Reproduction.objects.create(
        version=version, verdict=verdict, created_at=at, finished_at=at
    )


def ago(plan, days):
    DrillPlan.objects.filter(pk=plan.pk).update(fired_at=now() - dt.timedelta(days=days))


class TestClock:
    def test_rebuilds_one_version_at_low_priority_and_no_other_before_the_period(self, proud, on):
        [drill] = drills_due()

        assert drill.reproduction.version == proud
        assert drill.reproduction.job.priority == -10
        assert drills_due() == []
        ago(on, 29)
        assert drills_due() == []

    def test_holds_one_drill_for_many_missed_periods(self, proud, on):
        copy_of(proud, 2)
        ago(on, 400)

        assert len(drills_due()) == 1
        assert drills_due() == []

    def test_goes_by_the_days_of_the_team(self, ana, team, proud, settings):
        plan = drill_plan_set(actor=ana, team=team, is_on=True, days=7)
        ago(plan, 8)
        settings.DRILL_DAYS = 30
        assert len(drills_due()) == 1

    def test_is_off_for_whoever_did_not_switch_it_on(self, ana, team, proud):
        assert drills_due() == []
        drill_plan_set(actor=ana, team=team, is_on=False)
        assert drills_due() == []

    def test_zero_days_are_none_for_all(self, proud, on, settings):
        settings.DRILL_DAYS = 0
        assert drills_due() == []
        on.refresh_from_db()
        assert (on.fired_at, on.period_days) == (None, 0)

    def test_keeps_nothing_of_a_drill_that_broke_and_goes_on_with_other_teams(
        self, proud, on, cai, other_team, monkeypatch
    ):
        other = drill_plan_set(actor=cai, team=other_team, is_on=True)
        real = drilling.drill_start

        def broken(*, team):
            if team == on.team:
                raise RuntimeError("the disk is on fire")
            return real(team=team)

        monkeypatch.setattr(drilling, "drill_start", broken)
        [drill] = drills_due()

        assert drill.team == other.team
        on.refresh_from_db()
        assert on.fired_at is None


@pytest.mark.django_db(transaction=True)
def test_of_many_processes_one_begins_the_drill(ana, team):
    plan = drill_plan_set(actor=ana, team=team, is_on=True)
    begun = []

    def tick():
        begun.extend(drills_due())
        connections.close_all()

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(begun) == Drill.objects.filter(team=plan.team).count() == 1


class TestChoice:
    def test_is_what_was_rebuilt_longest_ago_never_first(self, team, proud):
        second, third = copy_of(proud, 2), copy_of(proud, 3)
        rebuilt(proud, 5)
        rebuilt(third, 90, verdict="different")

        assert list(drill_candidates(team.pk)) == [second, third, proud]

    def test_leaves_out_what_nobody_relies_on_and_what_is_being_rebuilt(self, team, proud):
        copy_of(proud, 2, stage="none")
        copy_of(proud, 3, state="quarantined")
        rebuilt(copy_of(proud, 4), 0, verdict="pending")

        assert list(drill_candidates(team.pk)) == [proud]

    def test_has_what_is_deployed(self, team, proud, monkeypatch):
        from models_app.deployments.uses import ServingDeployments

        deployed = copy_of(proud, 2, stage="none")
        monkeypatch.setattr(ServingDeployments, "version_ids", lambda self, team_id: [deployed.pk])

        assert set(drill_candidates(team.pk)) == {proud, deployed}

    def test_passes_over_what_has_no_record_and_says_why(self, team, proud):
        rebuilt(proud, 1)
        outside = copy_of(proud, 2, config_revision=None)

        drill = drill_start(team=team)

        assert drill.reproduction.version == proud
        [row] = drill.passed_over
        assert row["version"] == outside.pk
        assert "was not trained here" in row["why"]

    def test_of_nothing_is_recorded_too(self, team):
        drill = drill_start(team=team)
        assert (drill.reproduction, drill.passed_over) == (None, [])


class TestProof:
    def test_is_the_last_equal_rebuilding(self, proud):
        assert proven_at(proud) is None
        good = rebuilt(proud, 40)
        rebuilt(proud, 1, verdict="different")
        assert proven_at(proud) == good.finished_at


class TestPlan:
    def test_is_for_admins(self, ana, ben, team):
        with pytest.raises(PermissionDenied):
            drill_plan_set(actor=ben, team=team, is_on=True)
        with pytest.raises(InvalidInput) as refused:
            drill_plan_set(actor=ana, team=team, is_on=True, days=0)
        assert "days" in refused.value.errors

    def test_by_api(self, ana, ben, cai, proud, team, api_for):
        api, url = api_for(ana), f"{V1}/drills/plans"
        before = api.get(url).json()
        changed = api.post(url, {"team": team.slug, "is_on": True, "days": 14})
        drills_due()
        [drill] = api.get(f"{V1}/drills").json()["results"]

        assert before == [
            {"team": "research", "is_on": False, "days": None, "period_days": 0,
             "fired_at": None, "due_at": None}
        ]  # fmt: skip
        assert changed.json()["period_days"] == 14
        assert (drill["model_version"], drill["verdict"]) == (proud.pk, "pending")
        assert api_for(ben).post(url, {"team": team.slug, "is_on": False}).status_code == 403
        assert api_for(cai).get(f"{V1}/drills").json()["results"] == []
        assert api_for(cai).post(url, {"team": team.slug, "is_on": False}).status_code == 422
        assert_needs_sign_in([url, f"{V1}/drills"])


class TestPages:
    def test_switch_and_list(self, ana, team, proud, client_for):
        client = client_for(ana)
        rebuilt(copy_of(proud, 2, config_revision=None), 3)
        empty = client.get("/models/drills/").content.decode()
        said = client.post(
            "/models/drills/plan/", {"team": team.slug, "is_on": "yes", "days": "14"}, follow=True
        ).content.decode()
        ModelVersion.objects.filter(pk=proud.pk).update(stage="none")
        drills_due()
        text = client.get("/models/drills/").content.decode()
        wrong = client.post(
            "/models/drills/plan/", {"team": team.slug, "is_on": "yes", "days": "x"}, follow=True
        ).content.decode()

        assert "No drill yet" in empty
        assert "Drills of Research are on." in said and "One version every 14 days." in said
        assert "Nothing to rebuild" in text and "Passed over poet v2" in text
        assert "Use a number from 1 to" in wrong

    def test_versions_say_when_they_were_proven(self, eve, proud, client_for):
        url = "/models/research/poet/versions/1/"
        client = client_for(eve)
        assert "Never proven" in client.get(url).content.decode()
        rebuilt(proud, 2)
        assert "Last proven" in client.get(f"{url}?tab=reproduce").content.decode()
