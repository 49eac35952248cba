"""The side bar by itself: what it counts, whom it tells, where it says that the reader is."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.core.actor import SYSTEM
from models_app.jobs.models import Job
from models_app.jobs.services import job_cancel
from tests.factories.access import MembershipFactory, TeamFactory
from tests.factories.deployments import deployment_of, revision_of
from tests.factories.jobs import submitted
from tests.matrix import assert_needs_sign_in

pytestmark = pytest.mark.django_db
ENTRIES = re.compile(r'<div class="side-scroll" id="nav-entries".*?</div>', re.DOTALL)


def bar(client, path: str = "/datasets/") -> str:
    """The entries, fetched by themselves for the page at `path`."""
    answer = client.get("/side-bar/", {"path": path})
    assert answer.status_code == 200
    return answer.content.decode()


def count(html: str, href: str) -> int:
    """The number beside an entry; none is 0."""
    link = re.search(rf'<a href="{href}".*?</a>', html, re.DOTALL)[0]
    found = re.search(r'class="count [^"]*">([\d,]+)', link)
    return int(found[1]) if found else 0


def attribute(html: str, name: str) -> str:
    return re.search(rf'data-live-{name}="([^"]*)"', html)[1]


class TestCounts:
    def test_follow_jobs_as_they_come_and_go(self, ana, team, client_for):
        client = client_for(ana)
        before = count(bar(client), "/jobs/")
        job = submitted(team)
        during = count(bar(client), "/jobs/")
        job_cancel(actor=ana, job=job)

        assert (before, during, count(bar(client), "/jobs/")) == (0, 1, 0)

    def test_tell_approvers_what_waits_and_not_the_one_who_asked(self, ana, dan, team, client_for):
        revision_of(ana, deployment_of(ana, team, env="production"))

        waiting = [count(bar(client_for(who)), "/approvals/") for who in (dan, ana)]

        assert waiting == [1, 0]

    def test_say_nothing_of_other_teams(self, cai, team, client_for):
        submitted(team)

        assert count(bar(client_for(cai)), "/jobs/") == 0

    def test_cover_every_team_for_a_platform_admin_in_none(
        self, root, team, other_team, client_for
    ):
        submitted(team)
        submitted(other_team)

        assert count(bar(client_for(root)), "/jobs/") == 2


class TestPlace:
    def test_is_the_same_as_on_the_page_itself(self, ana, team, client_for):
        submitted(team)
        client = client_for(ana)

        for path in ("/", "/jobs/", f"/jobs/{Job.objects.get().pk}/", "/teams/", "/account/"):
            page = ENTRIES.search(client.get(path).content.decode())[0]
            assert ENTRIES.search(bar(client, path))[0] == page, path

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "jobs/",
            "/nowhere/",
            "//evil.example/jobs/",
            "https://evil.example/jobs/",
            "/jobs/\0",
            "/../jobs/",
            "/jobs/12/?x=/jobs/",
            "/jobs/" * 4000,
            '/jobs/"><script>alert(1)</script>',
        ],
    )
    def test_is_nowhere_for_what_is_no_address_of_the_console(self, ana, client_for, path):
        html = bar(client_for(ana), path)

        assert "aria-current" not in html
        assert "<script" not in html
        assert attribute(html, "refresh") == "/side-bar/?path="


class TestLiveness:
    def test_members_hear_their_teams_and_themselves(self, ben, team, client_for):
        second = TeamFactory(slug="second")
        MembershipFactory(user=ben, team=second)

        html = bar(client_for(ben))

        assert attribute(html, "topic") == f"user.{ben.pk} team.{team.pk} team.{second.pk}"
        assert attribute(html, "events") == (
            "access.changed alert.changed approval.changed job.changed sweep.changed"
        )

    def test_platform_admins_hear_all_teams_by_one_topic(self, root, team, client_for):
        assert attribute(bar(client_for(root)), "topic") == f"user.{root.pk} all"

    def test_a_member_of_very_many_teams_leaves_topics_to_the_page(self, ben, client_for):
        for _ in range(60):
            MembershipFactory(user=ben)

        assert len(attribute(bar(client_for(ben)), "topic").split()) == 41

    def test_the_address_to_fetch_names_the_page(self, ana, client_for):
        html = bar(client_for(ana), "/datasets/")

        assert attribute(html, "refresh") == "/side-bar/?path=%2Fdatasets%2F"

    def test_nobody_is_told_anything_without_signing_in(self, db):
        assert_needs_sign_in(["/side-bar/?path=/jobs/"])


@pytest.mark.parametrize("who", ["ana", "root"])
def test_costs_the_same_however_much_there_is(who, request, ana, team, client_for):
    def fill(place) -> None:
        submitted(place)
        revision_of(SYSTEM, deployment_of(SYSTEM, place, env="production"))

    def queries() -> int:
        client = client_for(request.getfixturevalue(who))
        with CaptureQueriesContext(connection) as asked:
            bar(client)
        return len(asked)

    fill(team)
    few = queries()
    for number in range(5):
        more = TeamFactory(slug=f"team-{number}")
        MembershipFactory(user=ana, team=more, role="admin")
        fill(more)

    assert queries() == few <= 8
