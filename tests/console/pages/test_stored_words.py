"""Sentences that are stored were made by machines or for somebody else: in English, and read in the
reader's language.
"""

import pytest
from django.db import transaction
from django.utils import translation

from models_app.deployments.models import Revision
from models_app.deployments.services.rollouts import rollout_turn_back
from tests.factories.batches import batch_of
from tests.factories.deployments import revision_of, serving

pytestmark = pytest.mark.django_db
WHY = "20 of 50 requests failed (40.0 %); the limit is 5 %."
CHINESE = "50 个请求中有 20 个失败（40.0 %）；上限为 5 %。"


def read(client_for, user, path, language):
    answer = client_for(user, headers={"accept-language": language}).get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_reasons_of_roll_outs(ana, team, client_for):
    deployment = serving(ana, team)
    revision = revision_of(ana, deployment)
    revision = Revision.objects.get(pk=revision.pk)
    with transaction.atomic():
        rollout_turn_back(deployment, revision, WHY, {})

    home = "/deployments/research/writer/"
    for path in (home, f"{home}revisions/{revision.number}/"):
        assert WHY in read(client_for, ana, path, "en")
        chinese = read(client_for, ana, path, "zh-hans")
        assert CHINESE in chinese
        assert WHY not in chinese


def test_problems_of_a_file_of_requests(ana, team, client_for):
    with translation.override("zh-hans"):
        batch = batch_of(ana, team, [b"{"])

    path = f"/batches/{batch.key}/"
    assert "This line is not valid JSON." in read(client_for, ana, path, "en")
    assert "此行不是有效的 JSON。" in read(client_for, ana, path, "zh-hans")


def test_what_happened_on_the_way_of_a_request():
    from console.pages.deployments.outcomes import way_words

    told = way_words(
        "replica 7: lost after 12 tokens; not resumed: no_replica; replica 8: 503; "
        "replica 9: Connection reset; param messages; legal/other: replicas_busy; something new"
    )
    assert told == [
        "Replica 7 was lost after 12 tokens.",
        "No other replica could go on with it: no_replica.",
        "Replica 8 had no room (503).",
        "Replica 9 did not answer: Connection reset.",
        "It was about the parameter messages.",
        "legal/other could not answer: replicas_busy.",
        "something new",
    ]
