"""Replicas leave a node that is being emptied only when others have taken over."""

import pytest

from models_app.deployments.reconcile import reconcile_all, reconcile_deployment
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import Job
from models_app.pools.services.operations import node_drain
from tests.factories.deployments import live, make_ready, serving, settle
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def draining(ben, team, root):
    """A deployment with two replicas on a node that begins to drain."""
    node = ready_node("node-1")
    ready_node("node-2")
    deployment = serving(ben, team, replicas=2)
    node_drain(actor=root, node=node)
    return deployment


def places(deployment):
    return sorted((r.job.node_name, str(r.state)) for r in live(deployment))


def test_new_replicas_start_while_the_old_ones_serve(draining):
    assert reconcile_all() == 1

    assert places(draining) == [
        ("", "pending"), ("", "pending"), ("node-1", "ready"), ("node-1", "ready"),
    ]  # fmt: skip


def test_the_old_ones_leave_when_all_new_ones_are_ready(draining):
    reconcile_deployment(draining.pk)
    first, second = [r for r in live(draining) if r.state == ReplicaState.PENDING]
    make_ready(first, node="node-2")
    reconcile_deployment(draining.pk)
    assert [state for name, state in places(draining) if name == "node-1"] == ["ready", "ready"]

    make_ready(second, node="node-2")
    reconcile_deployment(draining.pk)
    assert [state for name, state in places(draining) if name == "node-1"] == ["draining"] * 2
    assert [state for name, state in places(draining) if name == "node-2"] == ["ready"] * 2


def test_no_more_are_started_than_are_wanted(draining):
    settle(draining, node="node-2")
    reconcile_deployment(draining.pk)

    serving_jobs = Job.objects.filter(kind="serve").count()
    assert serving_jobs == 4
