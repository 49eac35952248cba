"""Previews: what a preparation would do, without keeping anything."""

import pytest

from models_app.curation.services import preparation_preview
from models_app.datasets.models import DatasetVersion
from tests.factories.data import doubled_version
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def parent(ben, team, tmp_path):
    return doubled_version(ben, team, tmp_path)


class TestPreview:
    def test_shows_before_and_after_and_keeps_nothing(self, ben, parent, tmp_path):
        job = preparation_preview(actor=ben, parent=parent, spec={"personal_data": "redact"})
        done = run_job(job, tmp_path)

        result = done.result
        assert (result["documents"], result["kept"]) == (104, 100)
        [changed] = [one for one in result["examples"] if one["after"]]
        assert "bob@example.com" in changed["before"]
        assert "[EMAIL]" in changed["after"]
        assert {one["step"] for one in result["examples"] if not one["after"]} == {"exact", "near"}
        assert DatasetVersion.objects.count() == 1
