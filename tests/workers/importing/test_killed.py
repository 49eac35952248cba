"""A worker that imports is killed in the middle of a file: the next one fetches only the rest."""

import os
import threading

import numpy
import pytest

from models_app.registry.importing import HubSource
from models_app.registry.services import model_create, version_import
from tests.factories.imports import change_json, model_folder, read_tensors, safetensors_bytes
from tests.fakes.hub import FakeHub
from tests.workers.conftest import WorkerProcess, wait_for
from workers.spool import job_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("CHAOS" not in os.environ, reason="half a minute: run `make proofs`"),
]


@pytest.fixture
def hub(tmp_path):
    """Stops in the middle of the weights until `go` is set; says `half` when it is there."""
    folder = model_folder(tmp_path / "served", tied=True)
    tensors = read_tensors(folder / "model.safetensors")
    rows = numpy.zeros((4000, 32), "float32")
    rows[: len(tensors["model.embed_tokens.weight"])] = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = rows
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    change_json(folder / "config.json", vocab_size=4000)
    hub = FakeHub.of(folder)
    hub.half, hub.go = threading.Event(), threading.Event()

    def pause(name, at):
        if name == "model.safetensors" and at >= 300_000 and not hub.go.is_set():
            hub.half.set()
            hub.go.wait(60)

    hub.before_chunk = pause
    yield hub
    hub.go.set()
    hub.close()


def test_it_goes_on_where_it_was(ana, team, tmp_path, settings, hub):
    settings.DATA_DIR, settings.IMPORT_HUBS = tmp_path, (hub.url,)
    worker = WorkerProcess(tmp_path, SLIPWAY_IMPORT_HUBS=hub.url)
    worker.start()
    try:
        model = model_create(actor=ana, team=team, name="poet")
        source = HubSource(url=hub.url, repo="team/model", token="hf_SecretSecretSecret12345")
        version = version_import(actor=ana, model=model, source=source)
        assert hub.half.wait(60)
        parts = job_folder(version.produced_by_id) / "work" / "import" / "parts"
        wait_for(lambda: sum(path.stat().st_size for path in parts.iterdir()) > 200_000,
                 "bytes lie in the part")  # fmt: skip
        worker.kill()
        hub.go.set()
        worker.start()

        def ended():
            version.refresh_from_db()
            return version.state != "pending"

        wait_for(ended, "the import ends", timeout_s=180)
    finally:
        worker.stop()

    assert version.state == "ready", version.error
    assert version.produced_by.epoch == 0 or version.produced_by.attempts.count() == 2
    begins = [begin for name, begin, _token in hub.asked if name == "model.safetensors"]
    assert begins[0] == 0 and begins[1] > 200_000
    assert len([name for name, _b, _t in hub.asked if name == "tokenizer.json"]) == 1
    assert not job_folder(version.produced_by_id).exists(), "temporary files are gone"
    log = (tmp_path / "worker.log").read_text()
    assert "SecretSecret" not in log
