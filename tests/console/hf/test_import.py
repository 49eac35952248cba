"""One console imports from another over `/hf`, as it would from any hub: here, from itself."""

import pytest

from models_app.core.blobs import blob_root
from models_app.registry.importing import HubSource
from models_app.registry.services import model_create, version_import
from tests.factories.access import ApiTokenFactory
from tests.factories.imports import model_folder
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.slow


@pytest.fixture
def served(console, ana, team, model_version, settings, tmp_path):
    """The version on the other console, and this one with a disk of its own."""
    folder = model_folder(tmp_path / "model")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    version = model_version(team, files)
    settings.DATA_DIR = tmp_path / "own-disk"
    settings.DATA_DIR.mkdir()
    settings.IMPORT_HUBS = (f"{console.url}/hf",)
    return version


def bring(console, actor, model, revision, token, tmp_path):
    source = HubSource(
        url=f"{console.url}/hf", repo="research/poet", revision=revision, token=token
    )
    version = version_import(actor=actor, model=model, source=source)
    run_job(version.produced_by, tmp_path)
    version.refresh_from_db()
    return version


def test_a_version_comes_over_whole_and_only_once(console, served, cai, other_team, ana, tmp_path):
    model = model_create(actor=cai, team=other_team, name="copy")
    token = ApiTokenFactory(user=ana).secret

    first = bring(console, cai, model, "v1", token, tmp_path)
    second = bring(console, cai, model, "main", token, tmp_path)

    assert first.state == "ready", first.error
    assert first.digest == served.digest
    assert first.source["commit"] == served.digest[:40]
    assert second.source["transferred_bytes"] == 0 and second.digest == first.digest
    assert len(list(blob_root().glob("??/??/*"))) == len(served.manifest)


@pytest.mark.parametrize(("revision", "word"), [("v9", "revision"), ("main", "token")])
def test_what_it_may_not_have_is_told_by_field(
    console, served, cai, other_team, ana, tmp_path, revision, word
):
    model = model_create(actor=cai, team=other_team, name="copy")
    token = ApiTokenFactory(user=ana).secret if word == "revision" else "slip_wrong"

    version = bring(console, cai, model, revision, token, tmp_path)

    assert version.state == "failed" and word in version.error
