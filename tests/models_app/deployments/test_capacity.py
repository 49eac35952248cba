"""A pool without room: one leaves for one that comes, nothing waits for ever, nothing is lost."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.deployments.models import Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services.course import current_step, live_rollout
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import Job
from models_app.jobs.states import JobState
from models_app.pools.models import Node
from tests.factories.deployments import deployment_of, live, revision_of
from tests.factories.jobs import submitted
from tests.factories.nodes import ready_node
from tests.factories.rollouts import arms, drain, later, start_placed

pytestmark = pytest.mark.django_db


def served(ana, team, slots, *, replicas=1, name="writer", **spec):
    """A deployment that serves on a node with so many slots, by real placement."""
    if not Node.objects.exists():
        ready_node("node-1", slots=slots)
    deployment = deployment_of(ana, team, name=name)
    revision_of(ana, deployment, replicas=replicas, **spec)
    reconcile_deployment(deployment.pk)
    start_placed(deployment)
    assert deployment.revisions.get().state == "active"
    return deployment


def states(deployment):
    return {r.revision.number: str(r.state) for r in live(deployment)}


class TestOneSlot:
    def test_is_drained_first_and_given_to_the_new_one(self, ana, team):
        deployment = served(ana, team, slots=1)
        revision_of(ana, deployment)
        row = live_rollout(deployment)
        assert current_step(row).old == 0
        assert row.events.first().data["room"] == "drain_first"

        reconcile_deployment(deployment.pk)
        assert states(deployment) == {1: "draining", 2: "pending"}
        drain(deployment)
        assert start_placed(deployment) == 1

        assert arms(deployment) == {2: (100, 1)}
        assert states(deployment) == {2: "ready"}

    def test_comes_before_jobs_that_wait_longer(self, ana, team):
        deployment = served(ana, team, slots=1)
        other = submitted(team, priority=50)
        revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        drain(deployment)

        assert start_placed(deployment) == 1

        other.refresh_from_db()
        assert other.state == JobState.PENDING
        assert arms(deployment) == {2: (100, 1)}

    def test_without_a_place_in_time_the_old_one_is_restored(self, ana, team):
        deployment = served(ana, team, slots=1)
        revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        Node.objects.update(slots=0)
        drain(deployment)
        start_placed(deployment)

        later(deployment, 91)

        row = Rollout.objects.get(revision__number=2)
        assert row.state == "failed"
        assert "was not given to it" in row.verdict
        Node.objects.update(slots=1)
        drain(deployment)
        reconcile_deployment(deployment.pk)
        start_placed(deployment)
        assert arms(deployment) == {1: (100, 1)}

    def test_what_was_taken_from_the_old_one_comes_back_before_other_jobs(self, ana, team):
        deployment = served(ana, team, slots=1)
        revision_of(ana, deployment)
        reconcile_deployment(deployment.pk)
        submitted(team, priority=50)
        drain(deployment)
        Job.objects.filter(replica__revision__number=2).update(barren_attempts=3)
        reconcile_deployment(deployment.pk)
        drain(deployment)

        assert start_placed(deployment) == 1
        assert arms(deployment) == {1: (100, 1)}

    def test_a_canary_cannot_be_watched_there(self, ana, team):
        deployment = served(ana, team, slots=1)
        revision_of(ana, deployment, strategy="canary")

        assert [step["kind"] for step in live_rollout(deployment).plan] == ["finish"]


def test_with_a_spare_slot_nothing_is_drained(ana, team):
    deployment = served(ana, team, slots=2)
    revision_of(ana, deployment)
    assert live_rollout(deployment).events.first().data["room"] == "surge"

    reconcile_deployment(deployment.pk)
    assert states(deployment) == {1: "ready", 2: "pending"}
    start_placed(deployment)

    assert arms(deployment) == {2: (100, 1)}
    assert states(deployment) == {1: "ready", 2: "ready"}


def test_two_replicas_on_two_slots_never_stop_answering(ana, team):
    deployment = served(ana, team, slots=2, replicas=2)
    revision_of(ana, deployment, replicas=2)
    answered = []
    for _ in range(4):
        reconcile_deployment(deployment.pk)
        drain(deployment)
        start_placed(deployment)
        answered.append(sum(number for share, number in arms(deployment).values() if share))

    assert min(answered) >= 1
    assert arms(deployment) == {2: (100, 2)}


def test_a_canary_takes_one_of_two_places(ana, team):
    deployment = served(ana, team, slots=2, replicas=2)
    revision_of(ana, deployment, replicas=2, strategy="canary", canary_percent=30, bake_s=600)
    reconcile_deployment(deployment.pk)
    drain(deployment)
    start_placed(deployment)

    assert arms(deployment) == {1: (70, 1), 2: (30, 1)}


def test_what_is_only_kept_warm_makes_room(ana, team):
    deployment = served(ana, team, slots=2)
    revision_of(ana, deployment)
    reconcile_deployment(deployment.pk)
    start_placed(deployment)
    assert states(deployment) == {1: "ready", 2: "ready"}

    revision_of(ana, deployment)
    row = live_rollout(deployment)
    assert "released" in [e.kind for e in row.events.all()]
    reconcile_deployment(deployment.pk)
    drain(deployment)
    assert states(deployment)[2] == "ready"
    start_placed(deployment)

    assert arms(deployment) == {3: (100, 1)}


def test_a_pool_that_fills_up_meanwhile_is_noticed(ana, team):
    deployment = served(ana, team, slots=2)
    revision_of(ana, deployment)
    submitted(team, priority=100)
    reconcile_deployment(deployment.pk)
    assert start_placed(deployment) == 0
    assert states(deployment) == {1: "ready", 2: "pending"}

    Job.objects.filter(state=JobState.PENDING).update(created_at=now() - dt.timedelta(seconds=20))
    reconcile_deployment(deployment.pk)
    assert current_step(live_rollout(deployment)).old == 0
    assert "replanned" in [e.kind for e in live_rollout(deployment).events.all()]
    reconcile_deployment(deployment.pk)
    drain(deployment)
    start_placed(deployment)

    assert arms(deployment) == {2: (100, 1)}


def test_where_even_draining_would_not_do_nothing_is_drained(ana, team):
    deployment = served(ana, team, slots=1)
    revision_of(ana, deployment, replicas=2)
    assert live_rollout(deployment).events.first().data["room"] == "short"

    for _ in range(3):
        reconcile_deployment(deployment.pk)

    assert arms(deployment)[1] == (100, 1)
    later(deployment, 1201)
    assert Rollout.objects.get(revision__number=2).state == "failed"


@pytest.mark.parametrize(("capacity", "old"), [("surge", None), ("drain_first", 0)])
def test_the_settings_may_decide(capacity, old, ana, team):
    deployment = served(ana, team, slots=2)
    revision_of(ana, deployment, capacity=capacity)

    assert current_step(live_rollout(deployment)).old == old
    reconcile_deployment(deployment.pk)
    assert ReplicaState.READY in states(deployment).values() or old == 0
