"""Who may agree, and that nothing unapproved is ever routed to."""

import datetime as dt

import pytest

from console.access.models import Membership
from console.access.roles import Role
from models_app.approvals.models import ApprovalRequest, Environment, Vote
from models_app.approvals.selectors import (
    approval_list,
    approvals_waiting_for,
    approvers_of,
    why_not_vote,
)
from models_app.approvals.services import (
    approval_vote,
    approval_withdraw,
    approvals_expire,
    environment_policy_change,
)
from models_app.approvals.states import RequestState
from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import FieldError, InvalidInput, NotFound, PermissionDenied, WrongState
from models_app.deployments.models import Replica, Revision
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.services import (
    deployment_start,
    deployment_stop,
    roll_back,
    rollout_abort,
    rollout_start,
)
from models_app.deployments.states import ReplicaState, RevisionState
from models_app.registry.models import ModelVersion
from tests.factories.access import MembershipFactory, UserFactory
from tests.factories.deployments import (
    deployment_of,
    environment,
    live,
    make_ready,
    revision_of,
    settle,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(ana, team):
    return deployment_of(ana, team, env="production")


@pytest.fixture
def revision(ben, deployment):
    """Asked for by Ben, a developer."""
    return revision_of(ben, deployment)


@pytest.fixture
def request_(revision):
    return revision.approval


def policy(actor, **changes):
    row = environment("production")
    values = {
        "protected": row.protected,
        "required_approvals": row.required_approvals,
        "expires_after_h": row.expires_after_h,
        **changes,
    }
    return environment_policy_change(actor=actor, environment=row, **values)


class TestVote:
    def test_enough_approvals_start_the_roll_out(self, dan, request_, revision, deployment):
        assert revision.state == RevisionState.PENDING_APPROVAL

        approval_vote(actor=dan, request=request_, decision="approve")

        revision.refresh_from_db()
        assert revision.state == RevisionState.ROLLING_OUT
        settle(deployment)
        request_.refresh_from_db()
        assert request_.state == RequestState.EXECUTED
        assert len(route_table()) == 1

    def test_the_requester_never_votes(self, ana, deployment):
        request = revision_of(ana, deployment).approval

        with pytest.raises(PermissionDenied, match="yourself"):
            approval_vote(actor=ana, request=request, decision="approve")

    def test_nor_does_a_platform_admin_who_asked(self, root, ana, deployment):
        request = revision_of(root, deployment).approval

        with pytest.raises(PermissionDenied, match="yourself"):
            approval_vote(actor=root, request=request, decision="approve")
        approval_vote(actor=ana, request=request, decision="approve")

    def test_developers_and_viewers_may_not(self, ben, eve, ana, deployment):
        request = revision_of(ana, deployment).approval
        for actor in (ben, eve):
            with pytest.raises(PermissionDenied):
                approval_vote(actor=actor, request=request, decision="approve")
            assert why_not_vote(actor=actor, request=request)

    def test_outsiders_do_not_know_of_it(self, cai, request_):
        with pytest.raises(NotFound):
            approval_vote(actor=cai, request=request_, decision="approve")
        with pytest.raises(NotFound):
            approval_withdraw(actor=cai, request=request_)
        assert approval_list(actor=cai).count() == 0
        assert approvals_waiting_for(cai) == 0

    def test_a_rejection_needs_a_reason_and_ends_it(self, dan, request_, revision):
        with pytest.raises(FieldError):
            approval_vote(actor=dan, request=request_, decision="reject")

        approval_vote(actor=dan, request=request_, decision="reject", comment="Not on a Friday.")

        request_.refresh_from_db()
        revision.refresh_from_db()
        assert request_.state == RequestState.REJECTED
        assert revision.state == RevisionState.REJECTED

    def test_nobody_votes_twice(self, root, ana, dan, deployment, ben):
        policy(root, required_approvals=2)
        deployment.refresh_from_db()
        request = revision_of(ben, deployment).approval
        approval_vote(actor=dan, request=request, decision="approve")

        with pytest.raises(PermissionDenied, match="already decided"):
            approval_vote(actor=dan, request=request, decision="approve")

        approval_vote(actor=ana, request=request, decision="approve")
        request.refresh_from_db()
        assert request.state == RequestState.APPROVED

    def test_a_role_taken_away_takes_its_vote_along(self, root, ana, dan, deployment, ben, team):
        policy(root, required_approvals=2)
        request = revision_of(ben, deployment).approval
        approval_vote(actor=dan, request=request, decision="approve")
        Membership.objects.filter(user=dan).update(role=Role.VIEWER)

        approval_vote(actor=ana, request=request, decision="approve")

        request.refresh_from_db()
        assert request.state == RequestState.OPEN
        another = UserFactory(name="Fay")
        MembershipFactory(user=another, team=team, role=Role.APPROVER)
        approval_vote(actor=another, request=request, decision="approve")
        request.refresh_from_db()
        assert request.state == RequestState.APPROVED

    def test_a_changed_subject_makes_it_stale(self, dan, request_, revision):
        ModelVersion.objects.update(manifest={"model.safetensors": {"sha256": "1" * 64, "size": 3}})

        with pytest.raises(WrongState, match="Stale"):
            approval_vote(actor=dan, request=request_, decision="approve")

        request_.refresh_from_db()
        revision.refresh_from_db()
        assert request_.state == RequestState.STALE
        assert revision.state == RevisionState.STALE
        assert not Vote.objects.exists()

    def test_a_late_vote_finds_it_expired(self, dan, request_, revision):
        ApprovalRequest.objects.update(expires_at=now() - dt.timedelta(seconds=1))

        with pytest.raises(WrongState, match="Expired"):
            approval_vote(actor=dan, request=request_, decision="approve")

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE

    def test_is_recorded(self, dan, request_):
        approval_vote(actor=dan, request=request_, decision="approve", comment="fine")

        actions = set(AuditEvent.objects.values_list("action", flat=True))
        assert {"approval.requested", "approval.voted", "approval.approved"} <= actions


class TestEnds:
    def test_the_requester_withdraws(self, ben, request_, revision):
        approval_withdraw(actor=ben, request=request_)

        revision.refresh_from_db()
        assert revision.state == RevisionState.WITHDRAWN

    def test_an_admin_withdraws_but_a_colleague_does_not(self, ana, ben, deployment, team):
        request = revision_of(ana, deployment).approval
        with pytest.raises(PermissionDenied):
            approval_withdraw(actor=ben, request=request)
        other = revision_of(ben, deployment).approval
        approval_withdraw(actor=ana, request=other)

    def test_the_sweep_expires_what_is_late(self, request_, revision):
        assert approvals_expire() == 0
        ApprovalRequest.objects.update(expires_at=now() - dt.timedelta(seconds=1))

        assert approvals_expire() == 1

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE

    def test_aborting_the_roll_out_uses_the_approval_up(self, dan, ana, request_, revision):
        approval_vote(actor=dan, request=request_, decision="approve")
        revision.refresh_from_db()

        rollout_abort(actor=ana, revision=revision)

        request_.refresh_from_db()
        assert request_.state == RequestState.WITHDRAWN

    def test_an_approval_not_used_in_time_expires(self, dan, ana, deployment, request_, revision):
        deployment_stop(actor=ana, deployment=deployment)
        approval_vote(actor=dan, request=request_, decision="approve")
        revision.refresh_from_db()
        assert revision.state == RevisionState.APPROVED
        ApprovalRequest.objects.update(expires_at=now() - dt.timedelta(seconds=1))

        approvals_expire()

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        with pytest.raises(WrongState):
            rollout_start(actor=ana, revision=revision)


class TestPolicy:
    def test_only_platform_admins_change_it(self, ana, root):
        with pytest.raises(PermissionDenied):
            policy(ana, required_approvals=2)
        assert policy(root, required_approvals=2).policy_version == 2
        assert policy(root, required_approvals=2).policy_version == 2

    def test_has_bounds(self, root):
        with pytest.raises(InvalidInput) as caught:
            policy(root, required_approvals=0, expires_after_h=0)
        assert set(caught.value.errors) == {"required_approvals", "expires_after_h"}

    def test_a_change_makes_open_requests_stale(self, root, request_, revision):
        policy(root, required_approvals=2)

        request_.refresh_from_db()
        revision.refresh_from_db()
        assert request_.state == RequestState.STALE
        assert revision.state == RevisionState.STALE

    def test_a_change_stops_an_approved_roll_out(self, root, dan, deployment, request_, revision):
        approval_vote(actor=dan, request=request_, decision="approve")
        reconcile_deployment(deployment.pk)
        make_ready(live(deployment)[0])

        policy(root, required_approvals=2)
        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert route_table() == []


class TestUnapprovedIsNeverRouted:
    """The check is in the transition itself, whatever the rows around it pretend."""

    def test_a_forged_state_does_not_pass(self, deployment, revision):
        Revision.objects.update(state=RevisionState.ROLLING_OUT, rollout_started_at=now())
        reconcile_deployment(deployment.pk)
        make_ready(live(deployment)[0])

        reconcile_deployment(deployment.pk)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert route_table() == []

    def test_nor_does_another_number_of_replicas(self, dan, deployment, request_, revision):
        approval_vote(actor=dan, request=request_, decision="approve")
        Revision.objects.update(replicas=2)

        settle(deployment)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert route_table() == []

    def test_nor_an_approval_of_something_else(self, dan, deployment, request_, revision):
        approval_vote(actor=dan, request=request_, decision="approve")
        ApprovalRequest.objects.update(subject_digest="0" * 64)

        settle(deployment)

        assert route_table() == []

    def test_an_unprotected_environment_that_becomes_protected(self, root, ana, team):
        deployment = deployment_of(ana, team, env="staging", name="other")
        revision = revision_of(ana, deployment)
        Environment.objects.filter(name="staging").update(protected=True)

        settle(deployment)

        revision.refresh_from_db()
        assert revision.state == RevisionState.STALE
        assert route_table() == []


class TestRollBackUnderApproval:
    @pytest.fixture
    def two(self, ben, dan, deployment):
        """Two revisions approved and rolled out, the second active."""
        for _ in range(2):
            request = revision_of(ben, deployment).approval
            approval_vote(actor=dan, request=request, decision="approve")
            settle(deployment)
        return deployment

    def test_needs_no_new_approval_while_the_old_one_stands(self, ben, two):
        target = roll_back(actor=ben, deployment=two)

        assert target.state == RevisionState.ACTIVE
        assert two.revisions.get(number=2).state == RevisionState.ROLLED_BACK

    def test_asks_again_after_the_policy_changed(self, root, ben, dan, two):
        policy(root, required_approvals=1, expires_after_h=5)
        before = route_table()

        target = roll_back(actor=ben, deployment=two, reason="worse")

        assert target.state == RevisionState.SUPERSEDED
        assert target.approval.state == RequestState.OPEN
        assert route_table() == before
        approval_vote(actor=dan, request=target.approval, decision="approve")
        target.refresh_from_db()
        assert target.state == RevisionState.ACTIVE

    def test_starting_again_asks_too(self, root, ana, dan, two):
        deployment_stop(actor=ana, deployment=two)
        policy(root, expires_after_h=5)

        row = deployment_start(actor=ana, deployment=two)

        assert row.stopped_at is not None
        request = ApprovalRequest.objects.get(state=RequestState.OPEN)
        approval_vote(actor=dan, request=request, decision="approve")
        two.refresh_from_db()
        assert two.stopped_at is None

    def test_older_proposals_become_stale_when_a_newer_one_serves(self, ben, dan, ana, deployment):
        older = revision_of(ben, deployment)
        newer = revision_of(ben, deployment)
        approval_vote(actor=dan, request=newer.approval, decision="approve")
        settle(deployment)

        older.refresh_from_db()
        older.approval.refresh_from_db()
        assert older.state == RevisionState.STALE
        assert older.approval.state == RequestState.STALE


class TestInbox:
    def test_counts_what_waits_for_this_person(self, ana, ben, dan, root, deployment):
        revision_of(ana, deployment)

        assert approvals_waiting_for(ana) == 0
        assert approvals_waiting_for(ben) == 0
        assert approvals_waiting_for(dan) == 1
        assert approvals_waiting_for(root) == 1
        assert approval_list(actor=ana, whose="mine").count() == 1
        request = approval_list(actor=dan, whose="me").get()
        approval_vote(actor=dan, request=request, decision="approve")
        assert approvals_waiting_for(dan) == 0

    def test_names_who_may_decide(self, ana, ben, dan, eve, deployment):
        request = revision_of(ana, deployment).approval

        assert approvers_of(request) == [dan]


def test_warm_replicas_survive(ana, deployment):
    """Nothing live is left behind by a request that never was approved."""
    revision_of(ana, deployment)
    reconcile_deployment(deployment.pk)
    assert not Replica.objects.exclude(state=ReplicaState.STOPPED).exists()
