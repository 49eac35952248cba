"""The import of a model version: every source, what comes out, and what leaves nothing behind."""

import pytest

from models_app.registry.importing import PathSource
from models_app.registry.services import model_create, version_import
from tests.factories.imports import model_folder
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def inbox(settings, tmp_path):
    """The import directory."""
    settings.IMPORT_DIR = tmp_path / "inbox"
    settings.IMPORT_DIR.mkdir()
    return settings.IMPORT_DIR


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


@pytest.fixture
def imported(ana, model, tmp_path):
    """`imported(source)`: the version after its job has ended."""

    def run(source, **options):
        options = {"model": model, **options}
        version = version_import(actor=ana, source=source, **options)
        run_job(version.produced_by, tmp_path / "jobs")
        version.refresh_from_db()
        return version

    return run


class TestFolder:
    def test_becomes_a_version_with_facts_digests_and_a_scan(self, imported, inbox):
        model_folder(inbox / "llama")

        version = imported(PathSource(path="llama"))

        assert version.state == "ready", version.error
        assert version.facts["parameters"] > 10_000
        scan = version.scans.get()
        assert scan.verdict == "passed", scan.report
