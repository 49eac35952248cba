"""Rounds of scaling against real tables, with the load that gateways report."""

import itertools
import threading
import time

import pytest
from django.db import connections

from models_app.audit.models import AuditEvent
from models_app.core import clock
from models_app.core.clock import now
from models_app.core.errors import FieldError, InvalidInput, PermissionDenied
from models_app.deployments import load
from models_app.deployments.load import Load, load_report
from models_app.deployments.models import Deployment, RequestRecord, ScalingEvent
from models_app.deployments.observation import unsettled
from models_app.deployments.reconcile import reconcile_all
from models_app.deployments.services import (
    deployment_hold,
    deployment_scale,
    deployment_stop,
    scaling_round,
)
from models_app.deployments.states import ReplicaState
from tests.factories.deployments import (
    live,
    part_with,
    ready_version,
    revision_of,
    serving,
    settle,
)

pytestmark = pytest.mark.django_db
_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def nobody_else(settings, monkeypatch):
    monkeypatch.setattr(load, "TTL_S", 60)
    """No report of another test is seen."""
    settings.CHANNEL_PREFIX = f"{settings.CHANNEL_PREFIX}-rounds-{next(_prefixes)}"


@pytest.fixture
def later():
    """`later(seconds)` puts the product's clock forward."""
    moved = clock.reading()

    def move(seconds):
        clock.follow(clock.Reading(now().timestamp() + seconds, time.monotonic()))

    yield move
    clock.follow(moved)


@pytest.fixture
def scaled(ana, team):
    return serving(ana, team, max_replicas=4, target_requests=2, scale_down_after_s=10)


def busy(deployment, running, waiting=0, **replicas):
    load_report("gateway", {deployment.pk: Load(running=running, waiting=waiting, **replicas)})


def number(deployment):
    deployment.refresh_from_db()
    return deployment.scaled_to


def test_load_brings_replicas_and_says_why(scaled, later):
    assert number(scaled) == 1
    busy(scaled, 3, 2)
    assert scaling_round() == 0
    later(4)
    assert scaling_round() == 1
    assert number(scaled) == 2
    event = scaled.scaling_events.get()
    assert (event.before, event.after, event.cause) == (1, 2, "load")
    assert event.figures == {"running": 3, "waiting": 2, "target_requests": 2.0}
    record = AuditEvent.objects.filter(action="deployment.scaled").get()
    assert record.changes["cause"] == "load"

    assert scaled in unsettled()
    settle(scaled)
    assert [replica.state for replica in live(scaled)] == [ReplicaState.READY] * 2
    assert scaled not in unsettled()


def test_calm_takes_them_away_again_one_by_one(scaled, later):
    Deployment.objects.filter(pk=scaled.pk).update(scaled_to=3)
    settle(scaled)
    busy(scaled, 0)
    scaling_round()
    later(11)
    assert scaling_round() == 1
    assert number(scaled) == 2
    part_with(scaled)
    assert len(live(scaled)) == 2


def test_what_is_remembered_survives_the_process(scaled, later):
    """Each round reads everything anew, so this is what a restart sees, too."""
    busy(scaled, 8)
    scaling_round()
    scaled.refresh_from_db()
    assert scaled.over_since is not None
    busy(scaled, 1)
    scaling_round()
    scaled.refresh_from_db()
    assert scaled.over_since is None


def test_a_quiet_round_writes_nothing(scaled, django_assert_max_num_queries):
    busy(scaled, 1)
    scaling_round()
    with django_assert_max_num_queries(1):
        assert scaling_round() == 0


def test_fixed_deployments_are_not_looked_at(ana, team, django_assert_num_queries):
    fixed = serving(ana, team, replicas=2)
    busy(fixed, 50)
    with django_assert_num_queries(1):
        assert scaling_round() == 0
    assert number(fixed) is None
    assert len(live(fixed)) == 2


def test_it_falls_asleep_and_is_told_to_the_gateway(ana, team, later):
    idle = serving(ana, team, max_replicas=2, min_replicas=0, sleep_after_s=30)
    busy(idle, 0)
    scaling_round()
    later(29)
    assert scaling_round() == 0
    later(2)
    assert scaling_round() == 1
    assert number(idle) == 0
    part_with(idle)
    assert not live(idle)
    assert idle not in unsettled()


def test_a_recorded_call_keeps_it_awake(ana, team, later):
    idle = serving(ana, team, max_replicas=2, min_replicas=0, sleep_after_s=30)
    busy(idle, 0)
    scaling_round()
    later(25)
    call(idle, at=now())
    later(10)
    assert scaling_round() == 0
    assert number(idle) == 1


def call(deployment, **fields):
    given = {"at": now(), "status": 200, "total_ms": 5, "endpoint": "completions", **fields}
    return RequestRecord.objects.create(
        request_id="r", deployment=deployment, revision=deployment.active_revision, **given
    )


def test_slow_first_tokens_bring_one_more(ana, team, later):
    slow = serving(ana, team, max_replicas=4, target_first_token_ms=200)
    busy(slow, 1)
    for _ in range(6):
        call(slow, first_token_ms=900)
        # What had to wake first, and what nobody waited for, does not count.
        call(slow, first_token_ms=1, wake_ms=500)
        call(slow, first_token_ms=1, mirrored=True)
    scaling_round()
    later(4)
    assert scaling_round() == 1
    event = slow.scaling_events.get()
    assert (event.after, event.cause) == (2, "latency")
    assert event.figures["first_token_ms"] == 900


def test_unknown_load_moves_nothing(scaled, later):
    Deployment.objects.filter(pk=scaled.pk).update(scaled_to=3)
    for _ in range(5):
        later(600)
        assert scaling_round() == 0
    assert number(scaled) == 3


def test_stopped_deployments_are_left_alone(scaled, ana, later):
    deployment_stop(actor=ana, deployment=scaled)
    busy(scaled, 50)
    scaling_round()
    later(10)
    assert scaling_round() == 0


class TestHand:
    def test_within_the_bounds_it_needs_no_revision(self, scaled, ana):
        revision = deployment_scale(actor=ana, deployment=scaled, replicas=3)
        assert revision.number == 1
        assert scaled.revisions.count() == 1
        assert number(scaled) == 3
        assert scaled.held_at == 3
        event = scaled.scaling_events.get()
        assert (event.before, event.after, event.cause) == (1, 3, "hand")
        settle(scaled)
        assert len(live(scaled)) == 3

    def test_it_lasts_as_long_as_was_said(self, scaled, ana, later):
        deployment_hold(actor=ana, deployment=scaled, replicas=3, for_s=600)
        busy(scaled, 0)
        scaling_round()
        later(590)
        busy(scaled, 0)
        assert scaling_round() == 0
        later(20)
        busy(scaled, 0)
        scaling_round()
        later(20)
        busy(scaled, 0)
        assert scaling_round() == 1
        assert number(scaled) == 2

    def test_it_can_be_let_go(self, scaled, ana):
        deployment_hold(actor=ana, deployment=scaled, replicas=3)
        row = deployment_hold(actor=ana, deployment=scaled, replicas=2, for_s=0)
        assert (row.scaled_to, row.held_at, row.held_until) == (2, None, None)

    @pytest.mark.parametrize("replicas", [0, 5, -1])
    def test_outside_the_bounds_it_is_refused(self, scaled, ana, replicas):
        with pytest.raises(FieldError) as refused:
            deployment_scale(actor=ana, deployment=scaled, replicas=replicas)
        assert "1 to 4" in refused.value.errors["replicas"][0]

    def test_not_by_everybody_and_not_for_ever(self, scaled, ana, eve, ben):
        with pytest.raises(PermissionDenied):
            deployment_hold(actor=eve, deployment=scaled, replicas=2)
        with pytest.raises(FieldError):
            deployment_hold(actor=ana, deployment=scaled, replicas=2, for_s=10**7)

    def test_a_fixed_one_is_scaled_by_a_revision(self, ana, team):
        fixed = serving(ana, team)
        with pytest.raises(FieldError):
            deployment_hold(actor=ana, deployment=fixed, replicas=2)
        assert deployment_scale(actor=ana, deployment=fixed, replicas=2).number == 2


class TestRevisions:
    def test_other_bounds_count_when_they_are_active(self, scaled, ana, later):
        deployment_hold(actor=ana, deployment=scaled, replicas=4, for_s=0)
        settle(scaled)
        revision_of(ana, scaled, max_replicas=2, keep_warm_s=0)
        settle(scaled)
        assert number(scaled) == 2
        ready = [r for r in live(scaled) if r.revision_id == scaled.active_revision_id]
        assert len(ready) == 2

    def test_a_fixed_number_ends_scaling(self, scaled, ana):
        revision_of(ana, scaled, replicas=2, keep_warm_s=0)
        settle(scaled)
        assert number(scaled) is None

    def test_what_sleeps_is_awake_after_a_roll_out(self, ana, team):
        sleeper = serving(ana, team, max_replicas=3, min_replicas=0)
        Deployment.objects.filter(pk=sleeper.pk).update(scaled_to=0)
        part_with(sleeper)
        revision_of(ana, sleeper, max_replicas=3, min_replicas=0)
        settle(sleeper)
        assert number(sleeper) == 1
        assert [replica.state for replica in live(sleeper)] == [ReplicaState.READY]

    @pytest.mark.parametrize(
        ("spec", "path"),
        [
            ({"max_replicas": 2, "min_replicas": 3}, "spec.min_replicas"),
            ({"max_replicas": 1, "hours": [{"start": "09:00", "end": "10:00", "replicas": 2}]},
             "spec.hours"),
            ({"timezone": "Mars/Base"}, "spec.timezone"),
            ({"timezone": "../../etc/passwd"}, "spec.timezone"),
            ({"hours": [{"start": "9 am", "end": "10:00", "replicas": 1}]}, "spec.hours.0.start"),
            ({"hours": [{"start": "09:00", "end": "24:00", "replicas": 1}]}, "spec.hours.0.end"),
            ({"hours": [{"days": ["sunday"], "start": "09:00", "end": "10:00", "replicas": 1}]},
             "spec.hours.0.days.0"),
        ],
    )  # fmt: skip
    def test_nonsense_is_refused_with_its_place(self, scaled, ana, spec, path):
        with pytest.raises(InvalidInput) as refused:
            revision_of(ana, scaled, version=ready_version(scaled.team), **spec)
        assert path in refused.value.errors


@pytest.mark.django_db(transaction=True)
def test_two_rounds_at_once_scale_once(ana, team, later):
    deployment = serving(ana, team, max_replicas=8, target_requests=1)
    busy(deployment, 50)
    scaling_round()
    later(5)
    start = threading.Barrier(3)

    def round_():
        try:
            start.wait()
            scaling_round()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=round_) for _ in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join(20)
    assert ScalingEvent.objects.filter(deployment=deployment).count() == 1
    assert number(deployment) == 2
    reconcile_all()
    assert len(live(deployment)) == 2
