"""The first page: what is said of the work, the deployments and what happened."""

import pytest

from models_app.deployments.services import deployment_stop
from tests.factories.deployments import serving

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
