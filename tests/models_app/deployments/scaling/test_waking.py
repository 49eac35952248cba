"""A request wakes a deployment that sleeps."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.deployments.models import Deployment
from models_app.deployments.reconcile import reconcile_all
from models_app.deployments.route_table import route_table
from models_app.deployments.services import deployment_stop, deployment_wake
from models_app.deployments.states import ReplicaState
from tests.factories.deployments import live, part_with, serving, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def sleeper(ana, team):
    """A deployment that has gone to sleep."""
    deployment = serving(ana, team, max_replicas=3, min_replicas=0, keep_warm_s=0)
    Deployment.objects.filter(pk=deployment.pk).update(scaled_to=0)
    part_with(deployment)
    assert not live(deployment)
    return deployment


def row(deployment):
    return next(row for row in route_table() if row["deployment_id"] == deployment.pk)


def test_the_first_request_wakes_it_and_the_others_change_nothing(sleeper):
    assert row(sleeper)["asleep"]
    assert deployment_wake(deployment_id=sleeper.pk)
    assert not deployment_wake(deployment_id=sleeper.pk)
    sleeper.refresh_from_db()
    assert sleeper.scaled_to == 1
    assert not row(sleeper)["asleep"]
    event = sleeper.scaling_events.get(cause="wake")
    assert (event.before, event.after) == (0, 1)
    assert AuditEvent.objects.filter(action="deployment.scaled").count() == 1

    reconcile_all()
    settle(sleeper)
    assert [replica.state for replica in live(sleeper)] == [ReplicaState.READY]


def test_what_is_awake_stopped_or_gone_is_not_woken(sleeper, ana):
    deployment_stop(actor=ana, deployment=sleeper)
    assert not deployment_wake(deployment_id=sleeper.pk)
    assert not deployment_wake(deployment_id=10**6)
