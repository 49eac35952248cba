"""Votes, policies and roll-outs at the same moment: no vote is lost, nothing unapproved goes in."""

import threading

import pytest
from django.db import connections

from console.access.roles import Role
from models_app.approvals.models import ApprovalRequest, Vote
from models_app.approvals.services import approval_vote, environment_policy_change
from models_app.approvals.states import RequestState
from models_app.core.errors import PermissionDenied, WrongState
from models_app.deployments.models import Revision
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.states import RevisionState
from tests.factories.access import MembershipFactory, UserFactory
from tests.factories.deployments import (
    deployment_of,
    environment,
    live,
    make_ready,
    revision_of,
    settle,
)
from tests.waiting import WAIT_S

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*actions):
    """Run all of them at the same moment; returns the errors that were raised."""
    start, errors = threading.Barrier(len(actions)), []

    def run(action):
        try:
            start.wait(WAIT_S)
            action()
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def policy(root, **changes):
    row = environment("production")
    values = {"protected": True, "required_approvals": 1, "expires_after_h": 72, **changes}
    return environment_policy_change(actor=root, environment=row, **values)


@pytest.fixture
def approvers(team):
    people = [UserFactory(name=f"Approver {n}") for n in range(6)]
    for person in people:
        MembershipFactory(user=person, team=team, role=Role.APPROVER)
    return people


def test_every_vote_counts_once(root, ana, team, approvers):
    deployment = deployment_of(ana, team, env="production")
    policy(root, required_approvals=4)
    request = revision_of(ana, deployment).approval

    errors = at_once(
        *[
            lambda p=person: approval_vote(actor=p, request=request, decision="approve")
            for person in approvers
        ]
    )

    request.refresh_from_db()
    assert request.state == RequestState.APPROVED
    assert all(isinstance(error, WrongState) for error in errors)
    assert Vote.objects.count() == 4
    assert Revision.objects.get().state == RevisionState.ROLLING_OUT


def test_one_person_in_two_windows_votes_once(ana, team, approvers):
    request = revision_of(ana, deployment_of(ana, team, env="production")).approval
    voter = approvers[0]

    errors = at_once(*[lambda: approval_vote(actor=voter, request=request, decision="approve")] * 4)

    assert Vote.objects.count() == 1
    assert all(isinstance(error, WrongState | PermissionDenied) for error in errors)


@pytest.mark.parametrize("round_", range(3))
def test_a_policy_change_and_a_switch_never_leave_something_unapproved(
    root, ana, dan, team, round_
):
    deployment = deployment_of(ana, team, env="production")
    request = revision_of(ana, deployment).approval
    approval_vote(actor=dan, request=request, decision="approve")
    reconcile_deployment(deployment.pk)
    make_ready(live(deployment)[0])

    errors = at_once(
        lambda: policy(root, required_approvals=2),
        lambda: reconcile_deployment(deployment.pk),
        lambda: reconcile_deployment(deployment.pk),
    )
    reconcile_deployment(deployment.pk)

    assert not errors
    request.refresh_from_db()
    state = Revision.objects.get().state
    # Either it went in under the old policy, or it did not go in at all.
    assert (request.state, state, len(route_table())) in {
        (RequestState.EXECUTED, RevisionState.ACTIVE, 1),
        (RequestState.STALE, RevisionState.STALE, 0),
    }


@pytest.mark.parametrize("round_", range(3))
def test_a_vote_on_one_proposal_and_the_switch_to_another_do_not_block(ana, ben, dan, team, round_):
    deployment = deployment_of(ana, team, env="production")
    older = revision_of(ben, deployment).approval
    newer = revision_of(ben, deployment).approval
    approval_vote(actor=dan, request=newer, decision="approve")
    reconcile_deployment(deployment.pk)
    make_ready(live(deployment)[0])

    errors = at_once(
        lambda: reconcile_deployment(deployment.pk),
        lambda: approval_vote(actor=dan, request=older, decision="approve"),
    )
    settle(deployment)

    assert all(isinstance(error, WrongState) for error in errors)
    assert len(route_table()) == 1
    assert not ApprovalRequest.objects.filter(state=RequestState.OPEN).exists()
