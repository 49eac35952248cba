"""The section about scaling, and the figures of crashed replicas beside it."""

import datetime as dt
import itertools
import re

import pytest
from django.urls import reverse

from models_app.core.clock import now
from models_app.deployments import load
from models_app.deployments.load import Load, load_report
from models_app.deployments.models import Deployment, ScalingEvent
from models_app.deployments.services import deployment_hold
from models_app.jobs import attempts
from models_app.jobs.models import Job
from tests.factories.deployments import live, make_ready, part_with, serving

pytestmark = pytest.mark.django_db
_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def nobody_else(settings, monkeypatch):
    monkeypatch.setattr(load, "TTL_S", 60)
    settings.CHANNEL_PREFIX = f"{settings.CHANNEL_PREFIX}-page-{next(_prefixes)}"


@pytest.fixture
def scaled(ana, team):
    hours = [{"days": ["mon"], "start": "09:00", "end": "17:00", "replicas": 2}]
    return serving(ana, team, max_replicas=4, min_replicas=0, hours=hours, timezone="Europe/Berlin")


def page_of(client):
    return client.get("/deployments/research/writer/").content.decode()


def test_says_what_is_wanted_between_which_bounds_and_why(ana, scaled, client_for):
    Deployment.objects.update(created_at=now() - dt.timedelta(days=1))
    load_report("gateway", {scaled.pk: Load(running=3, waiting=1)})
    ScalingEvent.objects.create(
        deployment=scaled, before=1, after=2, cause="load", at=now() - dt.timedelta(hours=1),
        figures={"running": 6, "waiting": 2, "target_requests": 4.0},
    )  # fmt: skip
    text = page_of(client_for(ana))
    assert "1 of 1 ready" in text
    assert "0 and 4" in text
    assert "3 running, 1 waiting" in text
    assert "1 → 2" in text
    assert "6 running, 2 waiting, 4 per replica" in text
    assert "Mon 09:00–17:00" in text
    assert "Europe/Berlin" in text
    # It went from one of four to two an hour ago: five sixths of the way.
    assert re.search(r'points="0\.0,60\.0 (500|49\d)\.\d,60\.0 ', text)


def test_the_line_begins_with_the_deployment(ana, scaled, client_for):
    Deployment.objects.update(created_at=now() - dt.timedelta(hours=3))
    # None for the first half of six hours, then one of four.
    assert re.search(
        r'points="0\.0,80\.0 (300|29\d)\.\d,80\.0 (300|29\d)\.\d,60\.0 ', page_of(client_for(ana))
    )


def test_says_that_nothing_is_known(ana, scaled, client_for):
    assert "No gateway says" in page_of(client_for(ana))


def test_a_fixed_number_is_called_so(ana, team, client_for):
    serving(ana, team)
    text = page_of(client_for(ana))
    assert "Fixed" in text
    assert "Between" not in text


def test_one_that_sleeps_is_not_out_of_service(ana, scaled, client_for):
    Deployment.objects.filter(pk=scaled.pk).update(scaled_to=0)
    part_with(scaled)
    text = page_of(client_for(ana))
    assert "Asleep" in text
    assert "Out of service" not in text
    assert "Asleep" in client_for(ana).get("/deployments/").content.decode()


def test_setting_the_number_by_hand_and_letting_go(ana, eve, scaled, client_for):
    client = client_for(ana)
    url = reverse("deployment_scale", args=["research", "writer"])
    answer = client.post(url, {"replicas": "3", "for_s": "900"}, follow=True)
    assert "3 replicas from now on." in answer.content.decode()
    scaled.refresh_from_db()
    assert (scaled.scaled_to, scaled.held_at) == (3, 3)
    assert "At least 3 until" in page_of(client)
    assert "Let go" not in page_of(client_for(eve))

    client.post(url, {"replicas": "3", "for_s": "0"})
    assert "At least 3 until" not in page_of(client)
    answer = client.post(url, {"replicas": "9"}, follow=True)
    assert "0 to 4" in answer.content.decode()
    scaled.refresh_from_db()
    assert scaled.scaled_to == 3


def test_a_crashed_replica_says_when_it_is_tried_again_and_its_last_words(ana, team, client_for):
    deployment = serving(ana, team)
    (victim,) = live(deployment)
    for number in range(4):
        job = Job.objects.get(pk=victim.job_id)
        attempts.job_fail(
            job=job, code="killed", message="Killed.", permanent=False, from_outside=True,
            attempt={"exit_signal": "SIGKILL", "tail": f"last words {number}"},
        )  # fmt: skip
        if number < 3:
            make_ready(victim)
    text = page_of(client_for(ana))
    assert "Crashed" in text
    assert "tried again at" in text
    for number in range(4):
        assert f"last words {number}" in text


class TestApi:
    def test_the_course_and_the_wanted_number(self, ana, scaled, api_for):
        deployment_hold(actor=ana, deployment=scaled, replicas=2, reason="a fair")
        api = api_for(ana)
        one = api.get(f"/api/v1/deployments/{scaled.pk}").json()
        assert (one["wanted_replicas"], one["held_at"]) == (2, 2)
        (event,) = api.get(f"/api/v1/deployments/{scaled.pk}/scaling").json()["results"]
        assert (event["before"], event["after"], event["cause"]) == (1, 2, "hand")
        assert event["figures"]["reason"] == "a fair"

    def test_scaling_within_the_bounds_makes_no_revision(self, ana, scaled, api_for):
        api = api_for(ana)
        answer = api.post(f"/api/v1/deployments/{scaled.pk}/scale", {"replicas": 3}, format="json")
        assert (answer.status_code, answer.json()["number"]) == (200, 1)
        answer = api.post(f"/api/v1/deployments/{scaled.pk}/scale", {"replicas": 7}, format="json")
        assert answer.status_code == 422
        assert "0 to 4" in str(answer.json())

    def test_outsiders_see_no_course(self, cai, scaled, api_for):
        assert api_for(cai).get(f"/api/v1/deployments/{scaled.pk}/scaling").status_code == 404
