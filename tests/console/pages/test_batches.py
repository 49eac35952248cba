"""The page of a batch: what it shows of its files."""

import pytest

from tests.factories.batches import batch_of, request_line
from tests.factories.deployments import ready_version
from tests.models_app.batches.conftest import answered

pytestmark = pytest.mark.django_db


def test_first_answers_and_why_others_have_none(ana, team, client_for, tmp_path):
    ready_version(team)
    batch = answered(batch_of(ana, team, [request_line(n) for n in range(6)]), tmp_path, errors=2)

    page = client_for(ana).get(f"/batches/{batch.key}/")

    assert [row["id"] for row in page.context["answers"]] == ["q-0", "q-1", "q-2", "q-3"]
    [reason] = page.context["reasons"]
    assert (reason.count, reason.first) == (2, "q-4")
    assert "temperature must be a number." in page.content.decode()
