"""Which replica leaves, and how a lost node's replicas are replaced."""

import datetime as dt
import itertools

import pytest
from django.db.models.functions import Now

from models_app.deployments import load
from models_app.deployments.load import Load, load_report
from models_app.deployments.models import Deployment
from models_app.deployments.observation import unsettled
from models_app.deployments.reconcile import reconcile_all, reconcile_deployment
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import Job
from models_app.jobs.recovery import recover_expired
from models_app.jobs.states import JobState
from models_app.pools.models import Node
from tests.factories.deployments import live, make_ready, part_with, serving
from tests.factories.jobs import expire
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db
_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def nobody_else(settings, monkeypatch):
    monkeypatch.setattr(load, "TTL_S", 60)
    settings.CHANNEL_PREFIX = f"{settings.CHANNEL_PREFIX}-leaving-{next(_prefixes)}"


def on_nodes(actor, team, *names, **spec):
    """A deployment with a ready replica on each of these nodes."""
    deployment = serving(actor, team, max_replicas=8, **spec)
    Deployment.objects.filter(pk=deployment.pk).update(scaled_to=len(names))
    reconcile_deployment(deployment.pk)
    for replica, name in zip(live(deployment), names, strict=True):
        if replica.state == ReplicaState.PENDING:
            make_ready(replica, node=name)
        else:
            Job.objects.filter(pk=replica.job_id).update(node_name=name)
    return deployment


def scale(deployment, number):
    Deployment.objects.filter(pk=deployment.pk).update(scaled_to=number)
    reconcile_deployment(deployment.pk)
    return [r for r in live(deployment) if r.state == ReplicaState.DRAINING]


def test_the_youngest_leaves_where_nothing_else_speaks(ben, team):
    deployment = on_nodes(ben, team, "node-1", "node-2", "node-3")
    assert scale(deployment, 2) == [live(deployment)[2]]


def test_the_least_busy_one_leaves(ben, team):
    deployment = on_nodes(ben, team, "node-1", "node-2", "node-3")
    first, second, third = live(deployment)
    busy = {first.pk: 2, second.pk: 1, third.pk: 5}
    load_report("gateway", {deployment.pk: Load(running=8, replicas=busy)})
    assert scale(deployment, 2) == [second]


def test_a_node_with_several_gives_one_up_first(ben, team):
    deployment = on_nodes(ben, team, "node-1", "node-2", "node-1", "node-3")
    first, _second, third, _fourth = live(deployment)
    load_report("gateway", {deployment.pk: Load(running=9, replicas={first.pk: 1, third.pk: 8})})
    assert scale(deployment, 3) == [first]


def test_what_is_not_ready_leaves_before_what_serves(ben, team):
    deployment = on_nodes(ben, team, "node-1", "node-2")
    Deployment.objects.filter(pk=deployment.pk).update(scaled_to=3)
    reconcile_deployment(deployment.pk)
    assert len(live(deployment)) == 3
    assert scale(deployment, 2) == []
    assert [r.state for r in live(deployment)] == [ReplicaState.READY] * 2


class TestLostNode:
    @pytest.fixture
    def deployment(self, ben, team):
        ready_node("node-1")
        ready_node("node-2")
        return on_nodes(ben, team, "node-1", "node-2")

    def silence(self, name, seconds=8):
        at = Now() - dt.timedelta(seconds=seconds)
        Node.objects.filter(name=name).update(last_seen_at=at)

    def test_a_substitute_starts_after_two_missed_signs_of_life(self, deployment):
        self.silence("node-1", seconds=5)
        assert deployment not in unsettled()
        self.silence("node-1")
        assert deployment in unsettled()
        reconcile_all()
        assert [r.state for r in live(deployment)] == ["ready", "ready", "pending"]
        # The round after changes nothing: one substitute is enough.
        reconcile_all()
        assert len(live(deployment)) == 3

    def test_the_lost_one_is_given_up_when_the_substitute_serves(self, deployment):
        self.silence("node-1")
        reconcile_all()
        lost, other, substitute = live(deployment)
        make_ready(substitute, node="node-2")
        part_with(deployment)
        assert [r.pk for r in live(deployment)] == [other.pk, substitute.pk]
        assert not Job.objects.filter(pk=lost.job_id, state=JobState.RUNNING).exists()

    def test_a_node_that_is_heard_again_keeps_its_replica(self, deployment):
        self.silence("node-1")
        reconcile_all()
        self.silence("node-1", seconds=0)
        reconcile_all()
        assert [(r.state, r.job.node_name) for r in live(deployment)] == [
            ("ready", "node-1"), ("ready", "node-2"),
        ]  # fmt: skip
        assert deployment not in unsettled()

    def test_its_job_that_is_freed_meanwhile_is_not_one_too_many(self, deployment):
        self.silence("node-1")
        reconcile_all()
        lost, _other, substitute = live(deployment)
        make_ready(substitute, node="node-2")
        expire(lost.job)
        recover_expired()
        reconcile_all()
        assert [r.state for r in live(deployment)] == ["ready", "ready"]

    def test_when_no_node_is_heard_nothing_is_started(self, deployment):
        self.silence("node-1")
        self.silence("node-2")
        assert deployment not in unsettled()
        reconcile_deployment(deployment.pk)
        assert len(live(deployment)) == 2
