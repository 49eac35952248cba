"""Stored files go when nothing names them: never too early, whoever names them."""

import contextlib
import datetime as dt
import io
import os
import threading
import time

import pytest
from django.db import connection, connections

from models_app.core import storage
from models_app.core.blobs import blob_lock, blob_path, blob_put, blob_renew, blob_root
from models_app.core.clock import now
from models_app.core.storage.partials import Partial
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.jobs.models import Checkpoint
from models_app.storage import collecting
from models_app.storage.inventory import inventory_refresh
from models_app.storage.models import Holder, StoredFile, StoreReport
from models_app.storage.references import may_name, references_of
from tests.factories.jobs import claimed
from tests.workers.conftest import wait_for

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def stored(data: bytes, *, days: float = 2) -> str:
    """Stored so long ago; the inventory has seen for as long that nobody names it."""
    sha256, _ = blob_put(io.BytesIO(data))
    age(sha256, days)
    inventory_refresh()
    StoredFile.objects.filter(sha256=sha256, unnamed_since__isnull=False).update(
        unnamed_since=now() - dt.timedelta(days=days)
    )
    return sha256


def age(sha256: str, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(blob_path(sha256), (then, then))


def blobs_collect() -> int:
    return collecting.blobs_collect().files


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
        assert may_name(apps.get_model(app, model)._meta.get_field(field))

    def test_keeps_checkpoints_until_their_row_is_forgotten(self, team):
        kept = stored(b"weights")
        row = Checkpoint.objects.create(
            job=claimed(team), epoch=1, step=1, path="/x/step-1", digest="0" * 64, size_bytes=1,
            manifest=manifest(kept),
        )  # fmt: skip
        assert blobs_collect() == 0
        row.delete()
        assert blobs_collect() == 0  # for a day it can still be had
        StoredFile.objects.update(unnamed_since=now() - 2 * DAY)

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
        one, real = stored(b"the same"), collecting.garbage

        def garbage(**kw):
            blob_put(io.BytesIO(b"the same"))
            return real(**kw)

        monkeypatch.setattr(collecting, "garbage", garbage)

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

    def test_never_takes_what_was_just_stored(self):
        """Storing and removing the same file at full speed: after storing it, it is there."""
        one, over, removed = stored(b"the same"), threading.Event(), []
        home = storage.home()

        def remove():
            while not over.is_set():
                if home.remove(one, before=time.time() - 3600) is not None:
                    removed.append(1)

        thread = threading.Thread(target=remove)
        thread.start()
        for _ in range(300):
            blob_put(io.BytesIO(b"the same"))
            assert is_there(one)
            with contextlib.suppress(FileNotFoundError):
                age(one, 2)
        over.set()
        thread.join()

        assert removed

    def test_clears_what_killed_writers_left(self):
        stored(b"x", days=0)
        old, young = blob_root() / ".put-old", blob_root() / ".put-young"
        for path in (old, young, Partial("old").path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"half")
        for path in (old, Partial("old").path):
            os.utime(path, (1, 1))
        assert collecting.blobs_collect().leftovers == 2

        assert (old.exists(), young.exists(), Partial("old").offset) == (False, True, 0)

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


class TestInventory:
    @pytest.fixture
    def version(self, team):
        files = manifest(stored(b"a" * 1000), stored(b"b" * 500))
        dataset = Dataset.objects.create(team=team, name="poems")
        return DatasetVersion.objects.create(dataset=dataset, number=3, manifest=files)

    def test_counts_what_is_shared_once(self, version, team):
        other = Dataset.objects.create(team=team, name="more")
        DatasetVersion.objects.create(dataset=other, number=1, manifest=version.manifest)
        inventory_refresh()
        report = StoreReport.objects.first()

        assert (report.files, report.bytes, report.logical_bytes) == (2, 1500, 3000)
        assert report.by_kind == {
            "datasets.datasetversion": {
                "files": 4,
                "bytes": 3000,
                "share_bytes": 1500,
                "own_bytes": 0,
            }
        }
        assert report.by_team == {
            "research": {"files": 4, "bytes": 3000, "share_bytes": 1500, "own_bytes": 0}
        }
        assert {row.references for row in StoredFile.objects.all()} == {2}

    def test_knows_what_only_one_holds(self, version):
        inventory_refresh()
        row = Holder.objects.get()

        assert (row.label, row.files, row.bytes, row.own_bytes) == ("poems v3", 2, 1500, 1500)

    def test_tells_who_named_garbage_last(self, version):
        inventory_refresh()
        version.delete()
        inventory_refresh()
        row = StoredFile.objects.first()

        assert row.references == 0 and row.unnamed_since
        assert Holder.objects.get(pk=row.named_by[0]).label == "poems v3"

    def test_mentions_keep_a_file_but_count_for_nobody(self, team):
        one = stored(b"mentioned")
        job = claimed(team)
        job.result = {"note": one}
        job.save()
        inventory_refresh()

        assert StoredFile.objects.get().references == 1
        assert StoreReport.objects.first().logical_bytes == 0
        assert [str(row) for row in references_of(one)] == [str(job)]

    def test_names_what_is_missing(self, version):
        lost = version.manifest["file-0"]["sha256"]
        blob_path(lost).unlink()
        inventory_refresh()

        assert StoreReport.objects.first().missing == [
            {"file": lost[:12], "holders": [f"datasets.datasetversion {version.pk}"]}
        ]

    def test_changes_no_row_where_nothing_has_changed(self, version):
        inventory_refresh()

        def states():
            with connection.cursor() as cursor:
                cursor.execute("SELECT xmin::text, sha256 FROM storage_storedfile ORDER BY 2")
                return cursor.fetchall()

        before = states()
        inventory_refresh()

        assert states() == before


def waits_for_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return cursor.fetchone() is not None


class TestBucket:
    """The same in a bucket, whose clock and locks are others."""

    ALL = -dt.timedelta(minutes=1)

    @pytest.fixture(autouse=True)
    def in_bucket(self, bucket):
        self.proxy = bucket

    def put(self, data: bytes) -> str:
        return blob_put(io.BytesIO(data))[0]

    def collect(self) -> int:
        return collecting.blobs_collect(grace=self.ALL).files

    def test_removes_what_nothing_names(self, team):
        kept, lost = self.put(b"kept"), self.put(b"lost")
        dataset = Dataset.objects.create(team=team, name="d")
        DatasetVersion.objects.create(dataset=dataset, number=1, manifest=manifest(kept))

        assert collecting.blobs_collect().files == 0  # all of it is young
        assert self.collect() == 1
        assert storage.home().size(lost) is None
        assert storage.home().size(kept) == 4

    def test_leaves_what_was_relied_on_since(self):
        one = self.put(b"the same")
        home = storage.home()
        stored_at = next(home.each()).renewed_at
        time.sleep(1.1)  # the server counts whole seconds
        assert blob_renew(one)

        assert next(home.each()).renewed_at > stored_at
        assert home.remove(one, before=stored_at + 1) is None
        assert home.remove(one, before=stored_at + 60) == len(b"the same")

    @pytest.mark.django_db(transaction=True)
    def test_does_not_remove_while_somebody_relies_on_it(self):
        from models_app.core.storage import s3

        one, removed = self.put(b"the same"), []

        def remove():
            try:
                removed.append(storage.home().remove(one, before=time.time() + 60))
            finally:
                connections.close_all()

        with s3._hold(one, shared=True):
            thread = threading.Thread(target=remove)
            thread.start()
            thread.join()

        assert removed == [None]
        assert storage.home().size(one)

    @pytest.mark.django_db(transaction=True)
    def test_storing_waits_for_a_removal_and_stores_anew(self):
        """Somebody stores the file at the very moment at which it goes."""
        one = self.put(b"the same")

        def store():
            try:
                self.put(b"the same")
            finally:
                connections.close_all()

        thread = threading.Thread(target=store)

        def begin():
            """In the proxy, while the request to delete is on its way."""
            thread.start()
            wait_for(waits_for_lock, "the other one waits for the lock")
            connections.close_all()

        self.proxy.add("DELETE", f"blobs/{one}", "none", then=begin)
        assert storage.home().remove(one, before=time.time() + 60) == 8
        thread.join()

        assert storage.home().size(one) == 8

    def test_clears_uploads_in_parts_that_broke_off(self):
        home = storage.home()
        at = {"Bucket": home.bucket, "Key": home.key("blobs", "0" * 64)}
        upload = home.client.create_multipart_upload(**at)["UploadId"]
        home.client.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x" * 1000)
        assert collecting.blobs_collect().leftovers == 0  # it may still go on

        done = collecting.blobs_collect(grace=self.ALL)

        assert done.leftovers == 1
        assert not list(home.leftovers(time.time() + 60))

    def test_keeps_no_mark_that_says_nothing(self):
        one = self.put(b"the same")
        blob_renew(one)
        collecting.blobs_collect(grace=self.ALL)

        assert not list(storage.home()._listed("renewed"))
