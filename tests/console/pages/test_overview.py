"""The first page: what is said of the work, the deployments and what happened."""

import pytest

from models_app.deployments.services import deployment_stop
from tests.factories.deployments import serving
from tests.factories.jobs import submitted

pytestmark = pytest.mark.django_db


def text(answer) -> str:
    return answer.content.decode()


def test_what_happened_is_told_in_words(ana, team, client_for):
    client = client_for(ana)
    client.post(f"/teams/{team.slug}/rename/", {"title": "New title"})

    assert 'title="team.renamed">Team renamed<' in text(client.get("/"))


def test_what_is_stopped_does_not_count_as_serving(ana, team, client_for):
    serving(ana, team, name="on")
    deployment_stop(actor=ana, deployment=serving(ana, team, name="off"))

    assert "Deployments serving: 1." in text(client_for(ana).get("/"))


def test_jobs_stand_under_their_headings(ana, team, client_for):
    submitted(team)
    table = text(client_for(ana).get("/")).split("<h2>Jobs in flight</h2>")[1].split("</table>")[0]
    head, body = table.split("<tbody>")

    assert body.count("<tr") == 1
    assert head.count("<th ") == body.count("<td ")


def test_buttons_are_for_those_who_may(ana, eve, client_for):
    both = ('href="/training/new/"', 'href="/deployments/new/"')
    page = client_for(ana).get("/").content.decode()
    assert all(button in page for button in both)
    page = client_for(eve).get("/").content.decode()
    assert not any(button in page for button in both)


@pytest.mark.parametrize(
    "path", ["/deployments/?q=%00", "/jobs/?team=%00", "/search/?q=a%00b", "/routes/new/?team=%00"]
)
def test_a_text_that_no_database_can_have_is_a_bad_request(ana, client_for, path):
    answer = client_for(ana).get(path)
    assert answer.status_code == 400
    assert b"not understood" in answer.content or path.startswith("/search/")
