"""After the switch: a revision that fails goes back by itself, once, while the old one is warm."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.deployments.models import Revision, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from tests.factories.deployments import revision_of, serving, settle
from tests.factories.rollouts import arms, calls

pytestmark = pytest.mark.django_db


@pytest.fixture
def switched(ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment)
    settle(deployment)
    return deployment


def test_too_many_errors_and_it_goes_back(switched):
    calls(switched, 2, 20, failed=5)

    reconcile_deployment(switched.pk)

    assert arms(switched) == {1: (100, 1)}
    row = Rollout.objects.first()
    assert (row.back, row.started_by, row.state) == (True, None, "succeeded")
    first = row.events.first()
    assert first.kind == "automatic"
    assert "5 of 20 requests failed" in first.data["why"]


def test_only_once(switched):
    calls(switched, 2, 20, failed=5)
    reconcile_deployment(switched.pk)
    calls(switched, 1, 20, failed=20)

    for _ in range(3):
        reconcile_deployment(switched.pk)

    assert arms(switched) == {1: (100, 1)}
    assert Rollout.objects.count() == 3


def test_not_when_the_old_one_is_cold(switched):
    Revision.objects.filter(number=1).update(keep_until=now() - dt.timedelta(seconds=1))
    calls(switched, 2, 20, failed=20)

    reconcile_deployment(switched.pk)

    assert arms(switched) == {2: (100, 1)}


def test_errors_of_the_time_before_do_not_count(switched):
    calls(switched, 2, 20, failed=20)
    Revision.objects.filter(number=2).update(activated_at=now() + dt.timedelta(seconds=1))

    reconcile_deployment(switched.pk)

    assert arms(switched) == {2: (100, 1)}


def test_what_its_settings_allow_stays(ana, team):
    deployment = serving(ana, team)
    revision_of(ana, deployment, max_error_percent=50)
    settle(deployment)
    calls(deployment, 2, 20, failed=5)

    reconcile_deployment(deployment.pk)

    assert arms(deployment) == {2: (100, 1)}
