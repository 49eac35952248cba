"""A version that serves is never quarantined behind the back of its deployments."""

import threading

import pytest
from django.db import connection, connections, transaction

from models_app.audit.models import AuditEvent
from models_app.core.errors import PermissionDenied, WrongState
from models_app.deployments.models import Deployment, Replica
from models_app.deployments.observation import unsettled
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.services import (
    deployment_start,
    deployment_stop,
    roll_back,
    rollout_abort,
)
from models_app.deployments.states import ReplicaState
from models_app.registry.models import ModelVersion
from models_app.registry.services import version_quarantine, version_restore
from models_app.registry.states import VersionState
from models_app.registry.use import version_users
from tests.factories.access import ApiTokenFactory
from tests.factories.deployments import (
    deployment_of,
    live,
    ready_version,
    revision_of,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(team):
    return ready_version(team, text="leaky")


@pytest.fixture
def sound(team):
    return ready_version(team, text="sound")


def served(actor, team, version, **options) -> Deployment:
    """A deployment whose active revision is of this version."""
    deployment = deployment_of(actor, team, **options)
    revision_of(actor, deployment, version=version)
    settle(deployment)
    return deployment


def quarantine(actor, version, **options) -> ModelVersion:
    return version_quarantine(actor=actor, version=version, reason="Leaks names", **options)


def routed(deployment) -> int:
    """How many replicas the gateway may ask."""
    rows = [row for row in route_table() if row["deployment_id"] == deployment.pk]
    return sum(len(arm["replicas"]) for row in rows for arm in row["arms"])


def state(version) -> str:
    return ModelVersion.objects.get(pk=version.pk).state


class TestRefusal:
    def test_names_what_serves_it_and_the_remedy(self, ana, team, version):
        deployment = served(ana, team, version)

        with pytest.raises(WrongState, match="Roll back or stop") as caught:
            quarantine(ana, version)

        assert "writer (development)" in caught.value.message
        assert caught.value.extra["uses"] == [
            {
                "kind": "deployment",
                "id": deployment.pk,
                "name": "writer",
                "environment": "development",
                "state": "active",
            }
        ]
        assert state(version) == version.state == VersionState.READY
        assert routed(deployment) == 1

    def test_counts_a_roll_out_too_and_each_deployment_once(self, ana, team, version):
        both = served(ana, team, version, name="both")
        revision_of(ana, both, version=version, replicas=2)
        revision_of(ana, deployment_of(ana, team, name="coming"), version=version)

        with pytest.raises(WrongState) as caught:
            quarantine(ana, version)

        uses = [(use["name"], use["state"]) for use in caught.value.extra["uses"]]
        assert uses == [("both", "active"), ("coming", "rolling_out")]

    def test_is_counted_among_what_its_team_relies_on(self, ana, team, other_team, version, sound):
        deployment = served(ana, team, version)
        serving = version_users.get("deployment")

        assert serving.version_ids(team.pk) == [version.pk]
        assert serving.version_ids(other_team.pk) == []

        deployment_stop(actor=ana, deployment=deployment, reason="Enough")
        assert serving.version_ids(team.pk) == []

    def test_ends_once_the_remedy_was_taken(self, ana, team, version, sound):
        rolled_back = served(ana, team, sound, name="rolled-back")
        revision_of(ana, rolled_back, version=version)
        settle(rolled_back)
        stopped = served(ana, team, version, name="stopped")

        roll_back(actor=ana, deployment=rolled_back)
        deployment_stop(actor=ana, deployment=stopped)
        quarantine(ana, version)

        assert state(version) == VersionState.QUARANTINED
        assert routed(rolled_back) == 1

    def test_does_not_meet_what_only_waits_for_approval(self, ana, team, version):
        revision_of(ana, deployment_of(ana, team, env="production"), version=version)

        assert quarantine(ana, version).state == VersionState.QUARANTINED


class TestStopServing:
    def test_takes_out_of_service_what_serves_it_and_nothing_else(self, ana, team, version, sound):
        bad = [served(ana, team, version, name=name) for name in ("one", "two")]
        good = served(ana, team, sound, name="good")

        quarantine(ana, version, stop_serving=True)

        assert state(version) == VersionState.QUARANTINED
        assert [routed(deployment) for deployment in (*bad, good)] == [0, 0, 1]
        stops = AuditEvent.objects.filter(action="deployment.stopped").order_by("object_label")
        assert [event.object_label for event in stops] == ["one", "two"]
        assert stops[0].changes["reason"] == "poet v1 was quarantined: Leaks names"
        event = AuditEvent.objects.get(action="model_version.quarantined")
        assert event.changes["stopped"] == ["one (development)", "two (development)"]

    def test_aborts_a_roll_out_and_leaves_what_serves(self, ana, team, version, sound):
        deployment = served(ana, team, sound)
        revision_of(ana, deployment, version=version)

        quarantine(ana, version, stop_serving=True)

        states = dict(deployment.revisions.values_list("number", "state"))
        assert states == {1: "active", 2: "withdrawn"}
        assert routed(deployment) == 1

    def test_is_nothing_more_where_nothing_serves(self, ana, version):
        quarantine(ana, version, stop_serving=True)

        event = AuditEvent.objects.get(action="model_version.quarantined")
        assert "stopped" not in event.changes

    def test_needs_the_right_to_stop_and_changes_nothing_without(self, ana, team, version):
        deployment = served(ana, team, version)
        ana.auth_token = ApiTokenFactory(user=ana, scopes=["read", "write"])

        with pytest.raises(PermissionDenied, match="change_deployment"):
            quarantine(ana, version, stop_serving=True)

        assert state(version) == VersionState.READY
        assert routed(deployment) == 1

    def test_stops_nothing_when_the_version_cannot_be_quarantined(self, ana, team, version):
        deployment = served(ana, team, version)
        ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.FAILED)

        with pytest.raises(WrongState, match="cannot become"):
            quarantine(ana, version, stop_serving=True)

        deployment.refresh_from_db()
        assert deployment.stopped_at is None


class TestWayOut:
    def test_a_new_revision_takes_the_place_of_the_quarantined_one(self, ana, team, version, sound):
        deployment = served(ana, team, version)
        quarantine(ana, version, stop_serving=True)
        with pytest.raises(WrongState, match="Create a new revision first"):
            deployment_start(actor=ana, deployment=deployment)
        revision_of(ana, deployment, version=sound)

        deployment_start(actor=ana, deployment=deployment)

        # The old replica may still be there; until the new one is ready nobody is answered by it.
        assert routed(deployment) == 0
        reconcile_deployment(deployment.pk)
        assert routed(deployment) == 0
        settle(deployment)
        states = dict(deployment.revisions.values_list("number", "state"))
        assert states == {1: "superseded", 2: "active"}
        assert routed(deployment) == 1

    def test_nothing_is_started_again_for_it_meanwhile(self, ana, team, version, sound):
        deployment = served(ana, team, version)
        quarantine(ana, version, stop_serving=True)
        new = revision_of(ana, deployment, version=sound)
        deployment_start(actor=ana, deployment=deployment)
        new.refresh_from_db()
        rollout_abort(actor=ana, revision=new)
        assert unsettled().exists()  # its old replica still has to go

        reconcile_deployment(deployment.pk)
        assert [replica.state for replica in live(deployment)] == [ReplicaState.DRAINING]
        Replica.objects.update(state=ReplicaState.STOPPED)
        assert not unsettled().exists()
        reconcile_deployment(deployment.pk)
        assert live(deployment) == []

    def test_a_restored_version_serves_again(self, ana, team, version):
        deployment = served(ana, team, version)
        quarantine(ana, version, stop_serving=True)
        version_restore(actor=ana, version=version, reason="A false alarm")

        deployment_start(actor=ana, deployment=deployment)
        settle(deployment)

        assert routed(deployment) == 1


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def waiting(self) -> bool:
        """Whether some connection of this test waits for a lock."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1"
            )
            return cursor.fetchone() is not None

    def in_another(self, action) -> tuple[threading.Thread, list[Exception]]:
        errors: list[Exception] = []

        def run() -> None:
            try:
                action()
            except Exception as error:
                errors.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        return thread, errors

    def test_a_roll_back_that_is_under_way_is_waited_for(self, ana, team, version, sound):
        deployment = served(ana, team, version)
        revision_of(ana, deployment, version=sound)
        settle(deployment)

        with transaction.atomic():
            roll_back(actor=ana, deployment=deployment)  # at once: its replica is warm
            thread, errors = self.in_another(lambda: quarantine(ana, version))
            while thread.is_alive() and not self.waiting():
                pass
            assert thread.is_alive()
        thread.join(20)

        assert "writer (development)" in str(errors[0])
        assert (state(version), routed(deployment)) == (VersionState.READY, 1)

    def test_a_roll_back_waits_for_the_quarantine_and_is_refused(self, ana, team, version, sound):
        deployment = served(ana, team, version)
        revision_of(ana, deployment, version=sound)
        settle(deployment)

        with transaction.atomic():
            quarantine(ana, version)
            thread, errors = self.in_another(lambda: roll_back(actor=ana, deployment=deployment))
            while thread.is_alive() and not self.waiting():
                pass
            assert thread.is_alive()
        thread.join(20)

        assert "Quarantined" in str(errors[0])
        deployment.refresh_from_db()
        assert deployment.active_revision.model_version == sound
