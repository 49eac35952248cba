"""Every way of a revision into service has a row with a timeline, however it ends."""

import pytest

from models_app.deployments.models import Replica, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import deployment_stop, roll_back, rollout_abort
from models_app.deployments.services.course import live_rollout
from models_app.deployments.states import ReplicaState
from models_app.jobs import attempts
from tests.factories.deployments import claim, live, revision_of, serving, settle

pytestmark = pytest.mark.django_db


def rows(deployment):
    found = Rollout.objects.filter(deployment=deployment).order_by("pk")
    return [(row.revision.number, row.strategy, str(row.state), row.back) for row in found]


def kinds(rollout):
    return [event.kind for event in rollout.events.all()]


def test_the_first_revision(ana, team):
    deployment = serving(ana, team)

    assert rows(deployment) == [(1, "blue_green", "succeeded", False)]
    row = Rollout.objects.get()
    assert (row.previous, row.started_by_id) == (None, ana.pk)
    assert (kinds(row)[0], kinds(row)[-1]) == ("started", "succeeded")
    assert row.ended_at is not None


def test_one_that_comes_in_is_live(ana, team):
    deployment = serving(ana, team)
    revision = revision_of(ana, deployment, strategy="canary")
    reconcile_deployment(deployment.pk)

    row = live_rollout(deployment)

    assert (row.revision, row.strategy, row.state) == (revision, "canary", "running")
    assert row.previous.number == 1


def test_aborted_with_the_reason(ana, team):
    deployment = serving(ana, team)
    revision = revision_of(ana, deployment)

    rollout_abort(actor=ana, revision=revision, reason="wrong version")

    row = Rollout.objects.get(revision=revision)
    assert (row.state, row.verdict) == ("aborted", "wrong version")
    assert live_rollout(deployment) is None


def test_replaced_by_a_newer_one(ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment)
    revision_of(ana, deployment)
    settle(deployment)

    assert [row[2] for row in rows(deployment)] == ["succeeded", "aborted", "succeeded"]


def test_failed(ana, team):
    deployment = serving(ana, team)
    revision = revision_of(ana, deployment)
    reconcile_deployment(deployment.pk)
    job = claim(live(deployment)[-1])
    attempts.job_fail(job=job, code="oom", message="too big", permanent=True, attempt={})

    reconcile_deployment(deployment.pk)

    row = Rollout.objects.get(revision=revision)
    assert row.state == "failed"
    assert "too big" in row.verdict


def test_a_way_back_says_so(ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment)
    settle(deployment)

    roll_back(actor=ana, deployment=deployment)

    assert rows(deployment)[-1] == (1, "blue_green", "succeeded", True)


def test_ends_with_the_deployment(ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment)

    deployment_stop(actor=ana, deployment=deployment)

    assert [row[2] for row in rows(deployment)] == ["succeeded", "aborted"]


def test_a_lost_switch_is_no_live_row(ana, team):
    deployment = serving(ana, team, keep_warm_s=0)
    revision_of(ana, deployment)
    settle(deployment)
    Replica.objects.filter(revision__number=1).update(state=ReplicaState.STOPPED)
    roll_back(actor=ana, deployment=deployment)

    assert live_rollout(deployment).back
    settle(deployment)
    assert live_rollout(deployment) is None
