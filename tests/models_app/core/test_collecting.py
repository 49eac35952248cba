"""Stored files go when nothing names them: never too early, whoever names them."""

import datetime as dt
import io
import os
import threading
import time

import pytest
from django.db import connections

from models_app.core import collecting
from models_app.core.blobs import blob_lock, blob_path, blob_put, blob_renew, blob_root
from models_app.core.collecting import blobs_collect
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.jobs.models import Checkpoint
from tests.factories.jobs import claimed

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def stored(data: bytes, *, days: float = 2) -> str:
    sha256, _ = blob_put(io.BytesIO(data))
    age(sha256, days)
    return sha256


def age(sha256: str, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(blob_path(sha256), (then, then))


def is_there(sha256: str) -> bool:
    return blob_path(sha256).exists()


def manifest(*digests: str):
    return {f"file-{n}": {"sha256": digest, "size": 1} for n, digest in enumerate(digests)}


class TestCollecting:
    def test_removes_what_nothing_names(self):
        lost, young = stored(b"lost"), stored(b"young", days=0.5)

        assert blobs_collect() == 1
        assert (is_there(lost), is_there(young)) == (False, True)

    def test_keeps_the_files_of_datasets(self, team):
        kept, source = stored(b"a shard"), stored(b"an upload that waits for its import")
        dataset = Dataset.objects.create(team=team, name="d")
        DatasetVersion.objects.create(
            dataset=dataset, number=1, manifest=manifest(kept),
            source={"kind": "files", "files": [{"name": "a", "sha256": source, "size": 1}]},
        )  # fmt: skip
        assert blobs_collect() == 0
        assert is_there(kept) and is_there(source)

    @pytest.mark.parametrize(
        "name", ["datasets.DatasetVersion.manifest", "registry.ModelVersion.manifest",
                 "jobs.Checkpoint.manifest", "jobs.Job.params", "jobs.Job.result",
                 "registry.Evaluation.scores_sha256"],
    )  # fmt: skip
    def test_asks_every_column_that_can_name_a_file(self, name):
        from django.apps import apps

        app, model, field = name.split(".")
        assert collecting._may_name(apps.get_model(app, model)._meta.get_field(field))

    def test_keeps_checkpoints_until_their_row_is_forgotten(self, team):
        kept = stored(b"weights")
        row = Checkpoint.objects.create(
            job=claimed(team), epoch=1, step=1, path="/x/step-1", digest="0" * 64, size_bytes=1,
            manifest=manifest(kept),
        )  # fmt: skip
        assert blobs_collect() == 0
        row.delete()

        assert blobs_collect() == 1
        assert not is_there(kept)

    def test_a_file_that_is_stored_again_is_young_again(self):
        one = stored(b"the same")
        inode = blob_path(one).stat().st_ino
        blob_put(io.BytesIO(b"the same"))

        assert blobs_collect() == 0
        assert blob_path(one).stat().st_ino == inode
        age(one, 2)
        assert blob_renew(one)
        assert blobs_collect() == 0

    def test_asks_again_before_it_removes(self, monkeypatch):
        """Somebody stores the file anew after it was found old and before it goes."""
        one, real = stored(b"the same"), collecting._named

        def named():
            blob_put(io.BytesIO(b"the same"))
            return real()

        monkeypatch.setattr(collecting, "_named", named)

        assert blobs_collect() == 0
        assert is_there(one)

    def test_does_not_remove_while_somebody_relies_on_it(self, transactional_db):
        one = stored(b"the same")
        done = threading.Event()

        def collect():
            try:
                blobs_collect()
            finally:
                connections.close_all()
                done.set()

        with blob_lock(shared=True):
            thread = threading.Thread(target=collect)
            thread.start()
            assert not done.wait(0.7)
            age(one, 0)  # found to be there, and named from now on
        thread.join()

        assert is_there(one)

    def test_clears_what_killed_writers_left(self):
        stored(b"x", days=0)
        old, young = blob_root() / ".put-old", blob_root() / ".put-young"
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (1, 1))
        blobs_collect()

        assert (old.exists(), young.exists()) == (False, True)

    def test_leaves_the_cache_of_a_joined_node_alone(self, settings):
        lost = stored(b"lost")
        settings.STORE_URL = "http://console.example"

        assert blobs_collect() == 0
        assert is_there(lost)

    def test_leaves_what_is_no_blob(self):
        stored(b"x", days=0)
        odd = blob_root() / "ab" / "cd" / "README"
        odd.parent.mkdir(parents=True, exist_ok=True)
        odd.write_text("not ours")
        os.utime(odd, (1, 1))
        blobs_collect()

        assert odd.exists()
