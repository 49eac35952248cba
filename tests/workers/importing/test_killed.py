"""A worker that imports is killed in the middle of a file: the next one takes only the rest."""

import contextlib
import json
import os
import threading
import time

import numpy
import pytest

from models_app.registry.importing import HubSource, PathSource
from models_app.registry.services import model_create, version_import
from tests.factories.bundles import bundle_bytes
from tests.factories.imports import change_json, model_folder, read_tensors, safetensors_bytes
from tests.fakes.hub import FakeHub
from tests.fakes.jobs import run_job
from tests.waiting import WAIT_S
from tests.workers.conftest import WorkerProcess, wait_for
from workers.spool import job_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("CHAOS" not in os.environ, reason="half a minute: run `make proofs`"),
]


def wide_model(folder, words):
    """A model with so many rows of 128 bytes in its embedding."""
    model_folder(folder, tied=True)
    tensors = read_tensors(folder / "model.safetensors")
    rows = numpy.zeros((words, 32), "float32")
    rows[: len(tensors["model.embed_tokens.weight"])] = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = rows
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    change_json(folder / "config.json", vocab_size=words)
    return folder


@pytest.fixture
def hub(tmp_path):
    """Stops in the middle of the weights until `go` is set; says `half` when it is there."""
    folder = wide_model(tmp_path / "served", 4000)
    hub = FakeHub.of(folder)
    hub.half, hub.go = threading.Event(), threading.Event()

    def pause(name, at):
        if name == "model.safetensors" and at >= 300_000 and not hub.go.is_set():
            hub.half.set()
            hub.go.wait(WAIT_S)

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
        assert hub.half.wait(WAIT_S)
        parts = job_folder(version.produced_by_id) / "work" / "import" / "parts"
        wait_for_bytes(parts, 200_000)
        worker.kill()
        hub.go.set()
        worker.start()

        def ended():
            version.refresh_from_db()
            return version.state != "pending"

        wait_for(ended, "the import ends", timeout_s=2 * WAIT_S)
    finally:
        worker.stop()

    assert version.state == "ready", version.error
    assert version.produced_by.attempts.count() == 2
    begins = [begin for name, begin, _token in hub.asked if name == "model.safetensors"]
    assert begins[0] == 0 and begins[1] > 200_000
    assert len([name for name, _b, _t in hub.asked if name == "tokenizer.json"]) == 1
    assert not job_folder(version.produced_by_id).exists(), "temporary files are gone"
    log = (tmp_path / "worker.log").read_text()
    assert "SecretSecret" not in log


def test_a_bundle_goes_on_with_the_file_in_which_it_was(
    ana, team, cai, other_team, tmp_path, settings
):
    settings.DATA_DIR, settings.IMPORT_DIR = tmp_path, tmp_path / "inbox"
    wide_model(tmp_path / "inbox" / "wide", 262_144)
    poet = model_create(actor=ana, team=team, name="poet")
    first = version_import(actor=ana, model=poet, source=PathSource(path="wide"))
    run_job(first.produced_by, tmp_path / "here")
    first.refresh_from_db()
    assert first.state == "ready", first.error
    (tmp_path / "inbox" / "poet.tar").write_bytes(bundle_bytes(first))
    theirs = model_create(actor=cai, team=other_team, name="theirs")
    worker = WorkerProcess(tmp_path, SLIPWAY_IMPORT_DIR=str(settings.IMPORT_DIR))
    worker.start()
    try:
        version = version_import(actor=cai, model=theirs, source=PathSource(path="poet.tar"))
        folder = job_folder(version.produced_by_id) / "work" / "import"
        wait_for_bytes(folder / "parts", 1 << 20)
        worker.kill()
        taken = (folder / "whole.jsonl").read_text().splitlines()
        assert 1 <= len(taken) < len(first.manifest)
        worker.start()

        def ended():
            version.refresh_from_db()
            return version.state != "pending"

        wait_for(ended, "the import ends", timeout_s=2 * WAIT_S)
    finally:
        worker.stop()

    assert version.state == "ready", version.error
    assert version.digest == first.digest and version.origin.model == "poet"
    assert version.produced_by.attempts.count() == 2
    kept = sum(json.loads(line)["size"] for line in taken)
    assert version.source["transferred_bytes"] == first.size_bytes - kept
    assert not job_folder(version.produced_by_id).exists(), "temporary files are gone"


def wait_for_bytes(parts, least):
    """More than so many bytes lie in files that are not whole yet."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = 0
        for path in parts.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # it has become whole at this moment
                found += path.stat().st_size
        if found > least:
            return
        time.sleep(0.002)
    raise AssertionError("no bytes came")
