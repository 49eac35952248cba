"""Draining empties a node without losing work; many lost nodes are held, not given up."""

import datetime as dt

import pytest
from django.db.models.functions import Now

from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import PermissionDenied
from models_app.jobs.attempts import job_release
from models_app.jobs.control import job_resume
from models_app.jobs.draining import drain_nodes, occupants
from models_app.jobs.models import Job
from models_app.jobs.placement import place_jobs
from models_app.jobs.recovery import recover_expired, recover_node
from models_app.jobs.silence import held_jobs_release, jobs_let_go, nodes_look
from models_app.jobs.states import JobState
from models_app.jobs.waiting import why_waiting
from models_app.pools.models import Node
from models_app.pools.services.operations import node_drain
from models_app.pools.services.registration import node_heartbeat
from models_app.pools.states import NodeState
from tests.factories.jobs import claimed, expire, placed, submitted
from tests.factories.nodes import ready_node, silent_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def lasting(monkeypatch):
    """Self-tests that cannot save their work."""
    from models_app.jobs.kind import job_kinds

    monkeypatch.setattr(type(job_kinds.get("self_test")), "pausable", False)


def state(row):
    row.refresh_from_db()
    return str(row.state)


class TestDrain:
    def test_moves_what_can_save_its_work_and_then_cordons_the_node(self, team, root):
        node, job = ready_node("node-1"), claimed(team)
        starting = placed(submitted(team))
        node_drain(actor=root, node=node)

        assert drain_nodes() == 2
        assert (state(job), state(starting)) == ("preempting", "pending")
        job_release(job=job, message="", attempt={})
        drain_nodes()
        assert (state(job), state(node)) == ("pending", "cordoned")
        assert job.attempts.get().reason_code == "drained"
        place_jobs()
        assert state(job) == "pending"

    def test_lets_other_work_end_by_itself_until_the_deadline(self, team, root, lasting):
        node, job = ready_node("node-1"), claimed(team)
        node_drain(actor=root, node=node, deadline_s=600)
        drain_nodes()
        node.refresh_from_db()
        assert state(job) == "running"
        assert "may end by itself" in occupants(node)[0].why

        Node.objects.filter(pk=node.pk).update(drain_deadline_at=now() - dt.timedelta(seconds=1))
        drain_nodes()
        assert state(job) == "preempting"

    def test_removes_the_empty_node_if_asked(self, root):
        node = ready_node("node-1")
        node_drain(actor=root, node=node, remove=True)
        drain_nodes()

        assert state(node) == "removed"


class TestSilence:
    def test_one_silent_node_is_unreachable_and_its_jobs_go_on_elsewhere(self, team):
        job = claimed(team)
        silent_node("node-1")
        ready_node("n2")
        expire(job)

        assert nodes_look() == 1
        recover_expired()
        assert state(Node.objects.get(name="node-1")) == NodeState.UNREACHABLE
        job.refresh_from_db()
        assert (job.state, job.hold_until) == (JobState.PENDING, None)

    def test_a_sign_of_life_brings_it_back(self):
        node = silent_node("node-1")
        nodes_look()

        node_heartbeat(name="node-1", incarnation=node.incarnation, used_slots=0)
        assert state(node) == NodeState.READY

    def test_many_at_once_are_quarantined_and_their_jobs_held(self, team):
        job = claimed(team)
        for name in ("node-1", "n2", "n3"):
            silent_node(name)
        ready_node("n4")
        expire(job)
        nodes_look()
        recover_expired()
        place_jobs()

        quarantined = Node.objects.filter(state=NodeState.QUARANTINED)
        assert quarantined.count() == 3
        job.refresh_from_db()
        assert job.state == JobState.PENDING and job.hold_until > now()
        assert "held until" in why_waiting(job=job)

    def test_a_returning_node_frees_its_held_jobs(self, team):
        job = self.held(team)
        recover_node(node="node-1", incarnation="node-1:200:2")

        assert Job.objects.filter(pk=job.pk, hold_until=None, run_after__lte=Now()).exists()

    def test_people_may_let_held_jobs_go(self, team, ben):
        job = self.held(team)
        ready_node("n4")
        job_resume(actor=ben, job=job)
        place_jobs()
        assert state(job) == "scheduled"

        other = self.held(team, start=10)
        assert jobs_let_go("node-1") == 1
        other.refresh_from_db()
        assert other.hold_until is None

    def test_an_operator_lets_those_of_one_node_go_on_record(self, team, ana, root):
        job = self.held(team)
        node = ready_node("node-1")
        with pytest.raises(PermissionDenied):
            held_jobs_release(actor=ana, node=node)

        assert held_jobs_release(actor=root, node=ready_node("n4")) == 0
        assert held_jobs_release(actor=root, node=node) == 1
        job.refresh_from_db()
        assert job.hold_until is None
        event = AuditEvent.objects.get(action="node.jobs_released")
        assert (event.object_label, event.changes) == ("node-1", {"jobs": 1})

    def held(self, team, start=1):
        job = claimed(team)
        Job.objects.filter(pk=job.pk).update(
            state=JobState.PENDING, lease_until=None, run_after=now() + dt.timedelta(minutes=5),
            hold_until=now() + dt.timedelta(minutes=5),
        )  # fmt: skip
        return job
