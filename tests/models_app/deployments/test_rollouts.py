"""From a version to replicas that serve, and back, with serve jobs driven as a worker would."""

import datetime as dt
import threading

import pytest
from django.db import connections
from django.db.models.functions import Now

from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import FieldError, InvalidInput, NotFound, PermissionDenied, WrongState
from models_app.deployments.hopeless import HOPELESS_ATTEMPTS, ROLLOUT_LIMIT
from models_app.deployments.models import Deployment, Replica, Revision, Rollout
from models_app.deployments.observation import unsettled
from models_app.deployments.reconcile import reconcile_all, reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.selectors import deployment_get, deployment_status
from models_app.deployments.services import (
    deployment_scale,
    deployment_start,
    deployment_stop,
    revision_create,
    roll_back,
    rollout_abort,
    rollout_start,
)
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.jobs import attempts
from models_app.jobs.models import Job
from models_app.jobs.states import JobState
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState
from tests.factories.deployments import (
    claim,
    deployment_of,
    live,
    make_ready,
    ready_version,
    revision_of,
    serving,
    settle,
)
from tests.waiting import WAIT_S

pytestmark = pytest.mark.django_db


def states(deployment):
    return dict(deployment.revisions.values_list("number", "state"))


def routed(deployment):
    """Numbers of the replicas that the gateway may ask."""
    for route in route_table():
        if route["deployment_id"] == deployment.pk:
            return [replica["id"] for replica in route["arms"][0]["replicas"]]
    return None


def status(actor, deployment):
    return deployment_status(deployment_get(actor=actor, deployment_id=deployment.pk))


class TestRevisionCreate:
    def test_rolls_out_at_once_where_nothing_is_protected(self, ana, team):
        deployment = deployment_of(ana, team)

        revision = revision_of(ana, deployment)

        assert revision.state == RevisionState.ROLLING_OUT
        assert AuditEvent.objects.filter(action="revision.created").count() == 1
        assert AuditEvent.objects.filter(action="rollout.started").count() == 1

    def test_counts_revisions_of_a_deployment(self, ana, team):
        deployment = deployment_of(ana, team)

        numbers = [revision_of(ana, deployment).number for _ in range(3)]

        assert numbers == [1, 2, 3]

    def test_names_the_wrong_setting(self, ana, team):
        with pytest.raises(InvalidInput) as caught:
            revision_of(ana, deployment_of(ana, team), replicas=99, colour="red")

        assert set(caught.value.errors) == {"spec.replicas", "spec.colour"}

    def test_refuses_a_version_that_is_not_ready(self, ana, team):
        version = ready_version(team)
        ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.QUARANTINED)

        with pytest.raises(FieldError, match="only a ready version"):
            revision_of(ana, deployment_of(ana, team), version=version)

    def test_refuses_a_version_of_another_team(self, ana, team, other_team):
        with pytest.raises(FieldError, match="no such version"):
            revision_of(ana, deployment_of(ana, team), version=ready_version(other_team))

    def test_refuses_what_serves_already(self, ana, team):
        version = ready_version(team)
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, version=version)
        settle(deployment)

        with pytest.raises(FieldError, match="serves exactly this"):
            revision_of(ana, deployment, version=version)

    def test_is_not_there_for_outsiders_and_forbidden_to_viewers(self, ana, cai, eve, team):
        deployment = deployment_of(ana, team)
        version = ready_version(team)
        with pytest.raises(NotFound):
            revision_create(actor=cai, deployment=deployment, model_version=version, spec={})
        with pytest.raises(PermissionDenied):
            revision_create(actor=eve, deployment=deployment, model_version=version, spec={})


class TestRollOut:
    def test_switches_when_all_replicas_are_ready(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment, replicas=2)
        reconcile_deployment(deployment.pk)
        first, second = live(deployment)
        assert status(ana, deployment) == "creating"

        make_ready(first)
        reconcile_deployment(deployment.pk)
        assert routed(deployment) is None

        make_ready(second)
        reconcile_deployment(deployment.pk)
        revision.refresh_from_db()
        assert revision.state == RevisionState.ACTIVE
        assert routed(deployment) == [first.pk, second.pk]
        assert status(ana, deployment) == "in_service"

    def test_route_says_where_and_which_attempt(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        job = make_ready(live(deployment)[0], port=23456)
        reconcile_deployment(deployment.pk)

        (route,) = route_table()

        assert route.pop("created") == int(deployment.created_at.timestamp())
        (arm,) = route.pop("arms")
        assert route == {
            "deployment_id": deployment.pk,
            "team_id": team.pk,
            "team": "research",
            "name": "research/writer",
            "asleep": False,
        }
        assert arm.pop("settings")["queue_limit"] == 64
        assert arm == {
            "revision_id": revision.pk,
            "number": 1,
            "digest": revision.digest,
            "fingerprint": revision.digest[:12],
            "version": "research/poet:v1",
            "family": "transformer",
            "percent": 100,
            "mirror_percent": 0,
            "adapters": [],
            "judge": None,
            "replicas": [
                {
                    "id": live(deployment)[0].pk,
                    "epoch": job.epoch,
                    "host": "127.0.0.1",
                    "port": 23456,
                    "node": job.node_name,
                }
            ],
        }

    def test_route_table_takes_six_queries(self, ana, team, django_assert_num_queries):
        for name in ("one", "two", "three"):
            serving(ana, team, name=name)

        with django_assert_num_queries(6):
            assert len(route_table()) == 3

    def test_keeps_the_old_revision_warm_then_stops_it(self, ana, team):
        deployment = serving(ana, team, keep_warm_s=60)
        old = live(deployment)[0]
        revision_of(ana, deployment)
        settle(deployment)

        assert states(deployment) == {1: "superseded", 2: "active"}
        assert old.pk in [replica.pk for replica in live(deployment)]
        assert old.pk not in routed(deployment)

        Revision.objects.filter(number=1).update(keep_until=now() - dt.timedelta(seconds=1))
        reconcile_deployment(deployment.pk)
        old.refresh_from_db()
        assert old.state == ReplicaState.DRAINING

        long_ago = now() - dt.timedelta(seconds=10)
        Replica.objects.filter(pk=old.pk).update(drain_started_at=long_ago)
        reconcile_deployment(deployment.pk)
        job = Job.objects.get(pk=old.job_id)
        assert job.state == JobState.CANCELING

        attempts.job_stopped(job=job, attempt={})
        old.refresh_from_db()
        assert old.state == ReplicaState.STOPPED

    def test_fails_with_the_words_of_the_job_and_keeps_the_old_one(self, ana, team):
        deployment = serving(ana, team)
        serving_now = routed(deployment)
        bad = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        job = claim(live(deployment)[-1])
        attempts.job_fail(
            job=job,
            code="config_invalid",
            message="The weights do not fit the shape.",
            permanent=True,
            attempt={"tail": "line one\nexpected 4 got 8"},
        )

        reconcile_deployment(deployment.pk)

        bad.refresh_from_db()
        assert bad.state == RevisionState.FAILED
        assert "do not fit the shape" in bad.error
        assert "expected 4 got 8" in bad.error
        assert routed(deployment) == serving_now
        assert status(ana, deployment) == "in_service"

    def test_gives_up_after_attempts_in_vain(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        for _ in range(HOPELESS_ATTEMPTS):
            Job.objects.update(run_after=Now())
            job = claim(live(deployment)[0])
            attempts.job_fail(
                job=job, code="killed", message="SIGKILL", permanent=False, attempt={}
            )

        reconcile_deployment(deployment.pk)
        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.FAILED
        assert "3 attempts" in revision.error
        assert not Job.objects.filter(state=JobState.PENDING).exists()

    def test_gives_up_when_it_takes_too_long_and_says_why(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        Rollout.objects.update(step_started_at=now() - ROLLOUT_LIMIT - dt.timedelta(1))

        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.FAILED
        assert "0 of 1 replicas" in revision.error
        assert "No ready node belongs to the pool" in revision.error

    def test_a_failed_revision_can_be_tried_again(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        job = claim(live(deployment)[0])
        attempts.job_fail(job=job, code="oom", message="oom", permanent=True, attempt={})
        reconcile_deployment(deployment.pk)
        revision.refresh_from_db()
        assert revision.state == RevisionState.FAILED

        rollout_start(actor=ana, revision=revision)
        settle(deployment)

        assert states(deployment) == {1: "active"}

    def test_can_be_aborted(self, ana, team):
        deployment = serving(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)

        rollout_abort(actor=ana, revision=revision, reason="wrong version")
        reconcile_deployment(deployment.pk)

        assert states(deployment) == {1: "active", 2: "withdrawn"}
        assert len(live(deployment)) == 1

    def test_a_newer_one_replaces_the_one_under_way(self, ana, team):
        deployment = serving(ana, team)
        revision_of(ana, deployment)
        revision_of(ana, deployment)

        settle(deployment)

        assert states(deployment) == {1: "superseded", 2: "withdrawn", 3: "active"}

    def test_what_changed_since_never_gets_traffic(self, ana, team):
        deployment = serving(ana, team)
        before = routed(deployment)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        make_ready(live(deployment)[-1])
        ModelVersion.objects.filter(pk=revision.model_version_id).update(
            manifest={"model.safetensors": {"sha256": "0" * 64, "size": 1}}
        )

        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert routed(deployment) == before

    def test_a_quarantined_version_never_gets_traffic(self, ana, team):
        deployment = deployment_of(ana, team)
        revision = revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        make_ready(live(deployment)[0])
        ModelVersion.objects.update(state=VersionState.QUARANTINED)

        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert routed(deployment) is None


class TestRollBack:
    def test_switches_at_once_while_the_old_one_is_warm(self, ana, team):
        deployment = serving(ana, team)
        warm = routed(deployment)
        revision_of(ana, deployment)
        settle(deployment)

        roll_back(actor=ana, deployment=deployment, reason="worse answers")

        assert routed(deployment) == warm
        assert states(deployment) == {1: "active", 2: "rolled_back"}

    def test_starts_replicas_first_when_they_are_gone(self, ana, team):
        deployment = serving(ana, team, keep_warm_s=0)
        revision_of(ana, deployment, keep_warm_s=0)
        settle(deployment)
        Replica.objects.filter(revision__number=1).update(state=ReplicaState.STOPPED)
        before = routed(deployment)

        roll_back(actor=ana, deployment=deployment)
        reconcile_deployment(deployment.pk)

        assert routed(deployment) == before
        assert status(ana, deployment) == "rolling_back"
        settle(deployment)
        assert states(deployment) == {1: "active", 2: "rolled_back"}
        assert len(routed(deployment)) == 1
        assert routed(deployment) != before

    def test_takes_the_one_that_was_active_before_and_not_a_bad_one(self, ana, team):
        deployment = serving(ana, team)
        for _ in range(2):
            revision_of(ana, deployment)
            settle(deployment)
        roll_back(actor=ana, deployment=deployment)
        assert states(deployment) == {1: "superseded", 2: "active", 3: "rolled_back"}

        roll_back(actor=ana, deployment=deployment)

        assert states(deployment)[1] == "active"

    def test_to_a_later_one_goes_forward_again(self, ana, team):
        deployment = serving(ana, team)
        second = revision_of(ana, deployment)
        settle(deployment)
        roll_back(actor=ana, deployment=deployment)
        second.refresh_from_db()

        roll_back(actor=ana, deployment=deployment, to=second)

        assert states(deployment) == {1: "superseded", 2: "active"}

    def test_a_failed_roll_back_stays_a_way_back(self, ana, team):
        deployment = serving(ana, team, keep_warm_s=0)
        revision_of(ana, deployment)
        settle(deployment)
        Replica.objects.filter(revision__number=1).update(state=ReplicaState.STOPPED)
        roll_back(actor=ana, deployment=deployment)
        reconcile_deployment(deployment.pk)
        job = claim(live(deployment)[-1])
        attempts.job_fail(job=job, code="oom", message="too big", permanent=True, attempt={})

        reconcile_deployment(deployment.pk)

        first = deployment.revisions.get(number=1)
        assert first.state == RevisionState.SUPERSEDED
        assert "too big" in first.error
        assert states(deployment)[2] == "active"

    def test_needs_something_to_go_back_to(self, ana, team):
        deployment = serving(ana, team)
        with pytest.raises(WrongState, match="no earlier revision"):
            roll_back(actor=ana, deployment=deployment)

    def test_refuses_a_revision_that_never_served(self, ana, team):
        deployment = serving(ana, team)
        second = revision_of(ana, deployment)
        rollout_abort(actor=ana, revision=second)
        second.refresh_from_db()
        with pytest.raises(WrongState, match="has served before"):
            roll_back(actor=ana, deployment=deployment, to=second)


class TestKeepingUp:
    def test_a_lost_replica_comes_back_by_its_job(self, ana, team):
        deployment = serving(ana, team)
        replica = live(deployment)[0]
        job = Job.objects.get(pk=replica.job_id)

        attempts.job_fail(job=job, code="killed", message="died", permanent=False, attempt={})

        replica.refresh_from_db()
        assert replica.state == ReplicaState.CRASHED
        assert routed(deployment) == []
        assert status(ana, deployment) == "out_of_service"
        Job.objects.update(run_after=Now())
        again = make_ready(replica)
        assert again.epoch == 2
        assert routed(deployment) == [replica.pk]

    def test_a_replica_whose_job_ended_is_replaced_after_a_pause(self, ana, team):
        deployment = serving(ana, team)
        job = Job.objects.get(pk=live(deployment)[0].job_id)
        attempts.job_fail(job=job, code="integrity", message="bad", permanent=True, attempt={})

        reconcile_deployment(deployment.pk)
        assert live(deployment) == []

        Job.objects.filter(pk=job.pk).update(finished_at=now() - dt.timedelta(seconds=11))
        reconcile_deployment(deployment.pk)
        assert len(live(deployment)) == 1

    def test_scaling_is_a_revision(self, ana, team):
        deployment = serving(ana, team)

        deployment_scale(actor=ana, deployment=deployment, replicas=3)
        settle(deployment)

        assert len(routed(deployment)) == 3
        assert deployment.active_revision.reason == "Scale from 1 to 3 replicas"

    def test_stop_takes_it_out_and_start_brings_it_back(self, ana, team):
        deployment = serving(ana, team)

        deployment_stop(actor=ana, deployment=deployment, reason="costs")

        assert routed(deployment) is None
        assert status(ana, deployment) == "out_of_service"
        reconcile_deployment(deployment.pk)
        assert [replica.state for replica in live(deployment)] == [ReplicaState.DRAINING]
        deployment_start(actor=ana, deployment=deployment)
        settle(deployment)
        assert len(routed(deployment)) == 1

    def test_stopped_nothing_rolls_out(self, ana, team):
        deployment = serving(ana, team)
        deployment_stop(actor=ana, deployment=deployment)

        revision = revision_of(ana, deployment)

        assert revision.state == RevisionState.APPROVED
        with pytest.raises(WrongState, match="Start it first"):
            rollout_start(actor=ana, revision=revision)


class TestReconcile:
    def test_does_nothing_when_all_is_well(self, ana, team, django_assert_num_queries):
        serving(ana, team)

        with django_assert_num_queries(4):
            assert reconcile_all() == 0

    def test_a_second_round_adds_nothing(self, ana, team):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, replicas=3)

        for _ in range(4):
            reconcile_all()

        assert Replica.objects.count() == 3

    def test_is_seen_wherever_something_is_missing(self, ana, team):
        deployment = deployment_of(ana, team)
        assert not unsettled().exists()
        revision_of(ana, deployment)
        assert unsettled().exists()
        settle(deployment)
        assert not unsettled().exists()
        Revision.objects.update(replicas=2)
        assert unsettled().exists()


@pytest.mark.django_db(transaction=True)
class TestReconcileAtOnce:
    def test_many_processes_start_the_wanted_number(self, ana, team):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, replicas=4)
        start = threading.Barrier(6)
        errors = []

        def work():
            try:
                start.wait(WAIT_S)
                for _ in range(5):
                    reconcile_deployment(deployment.pk)
            except BaseException as error:
                errors.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert not errors
        assert Replica.objects.count() == 4
        assert Job.objects.count() == 4

    def test_switches_once_while_replicas_get_ready(self, ana, team):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, replicas=4)
        reconcile_deployment(deployment.pk)
        replicas = live(deployment)
        start = threading.Barrier(len(replicas) + 2)
        errors = []

        def run(action):
            try:
                start.wait(WAIT_S)
                action()
            except BaseException as error:
                errors.append(error)
            finally:
                connections.close_all()

        def rounds():
            for _ in range(20):
                reconcile_deployment(deployment.pk)

        actions = [lambda r=r: make_ready(r) for r in replicas] + [rounds, rounds]
        threads = [threading.Thread(target=run, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        reconcile_deployment(deployment.pk)

        assert not errors
        assert AuditEvent.objects.filter(action="revision.activated").count() == 1
        assert Deployment.objects.get().active_revision_id is not None
        assert len(live(deployment)) == 4
