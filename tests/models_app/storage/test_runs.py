"""Runs over the store: asked for by admins, worked on in slices, with a report at the end."""

import io

import pytest
from django.db.models.functions import Now

from models_app.audit.models import AuditEvent
from models_app.core import blobs, storage
from models_app.core.actor import SYSTEM
from models_app.core.errors import Conflict, FieldError, PermissionDenied
from models_app.core.storage.errors import BlobMissing
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.storage import runs, services
from models_app.storage.inventory import inventory_refresh
from models_app.storage.models import StoredFile, StoreReport, StoreRun
from models_app.storage.runs import CLAIM, run_advance, runs_advance
from models_app.storage.services import store_collect, store_tidy, store_verify

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "impatient")]


def put(data: bytes) -> str:
    return blobs.blob_put(io.BytesIO(data))[0]


def spoil(store: str, digest: str) -> None:
    """Somebody's disk turns a bit."""
    home = storage.home()
    if store == "s3":
        home.client.put_object(Bucket=home.bucket, Key=home.key("blobs", digest), Body=b"owt")
    path = blobs.blob_path(digest)
    path.chmod(0o644)
    path.write_bytes(b"owt")


@pytest.fixture
def files(team):
    """Three files of a version."""
    digests = [put(b"one"), put(b"two"), put(b"three")]
    dataset = Dataset.objects.create(team=team, name="poems")
    manifest = {f"{n}": {"sha256": digest, "size": 1} for n, digest in enumerate(digests)}
    DatasetVersion.objects.create(dataset=dataset, number=1, manifest=manifest)
    return digests


class TestChecking:
    def test_finds_all_whole(self, files, root):
        run = store_verify(actor=root)
        runs_advance()
        run.refresh_from_db()

        assert (run.state, run.files, run.bytes, run.bytes_total) == ("done", 3, 11, 11)
        assert not StoredFile.objects.filter(verified_at=None).exists()
        event = AuditEvent.objects.get(action="store.verified")
        assert event.changes == {"files": 3, "bytes": 11, "damaged": 0}

    def test_names_what_is_damaged_and_who_needs_it(self, store, files):
        spoil(store, files[1])
        run = store_verify(actor=SYSTEM)
        runs_advance()
        run.refresh_from_db()

        assert run.damaged == [
            {"file": files[1][:12], "size": 3, "holders": ["dataset version poems v1"]}
        ]
        event = AuditEvent.objects.get(action="stored_file.damaged")
        assert event.changes["holders"] == ["dataset version poems v1"]

    def test_takes_what_is_damaged_out_of_the_way(self, store, files):
        spoil(store, files[1])
        store_verify(actor=SYSTEM)
        runs_advance()
        blobs.blob_path(files[1]).unlink(missing_ok=True)

        with pytest.raises(BlobMissing):
            blobs.blob_open(files[1])
        inventory_refresh()
        assert StoredFile.objects.get(sha256=files[1]).damaged_at
        put(b"two")
        inventory_refresh()
        assert blobs.blob_open(files[1]).read() == b"two"
        assert StoredFile.objects.get(sha256=files[1]).damaged_at is None

    def test_takes_those_that_were_looked_at_longest_ago(self, files):
        inventory_refresh()
        StoredFile.objects.exclude(sha256=files[2]).update(verified_at=Now())
        run = store_verify(actor=SYSTEM, sample=1)
        runs_advance()
        run.refresh_from_db()

        assert (run.files, run.files_total) == (1, 1)
        assert StoredFile.objects.get(sha256=files[2]).verified_at

    def test_goes_on_slice_by_slice(self, files, monkeypatch):
        run = store_verify(actor=SYSTEM)
        assert run_advance(run.pk, seconds=0).state == "running"
        put(b"a fourth")  # it came later and is not asked for
        while run_advance(run.pk, seconds=0.0001).state == "running":
            pass
        run.refresh_from_db()

        assert (run.state, run.files) == ("done", 3)

    def test_waits_for_a_bucket_that_is_away(self, files, monkeypatch):
        def away(*_, **__):
            raise runs.StoreUnavailable("away")

        run = store_verify(actor=SYSTEM)
        with monkeypatch.context() as patch:
            patch.setattr(runs, "verify_slice", away)
            runs_advance()
        run.refresh_from_db()
        assert (run.state, run.claimed_until) == ("running", None)
        runs_advance()
        run.refresh_from_db()

        assert run.state == "done"

    def test_does_not_make_garbage_young(self, files):
        """Reading a file for this is no use of it."""
        before = {one.sha256: one.renewed_at for one in storage.home().each()}
        store_verify(actor=SYSTEM)
        runs_advance()

        assert {one.sha256: one.renewed_at for one in storage.home().each()} == before

    def test_happens_by_itself_once_in_a_while(self, files, settings):
        settings.VERIFY_DAYS = 30
        store_tidy()
        store_tidy()
        assert StoreRun.objects.filter(kind="verify").count() == 1
        runs_advance()
        store_tidy()

        assert StoreRun.objects.filter(kind="verify").count() == 1


class TestCollecting:
    def test_is_asked_for_and_reported(self, files, root, monkeypatch):
        monkeypatch.setattr(services, "LEAST_GRACE_H", -1)
        put(b"garbage")
        inventory_refresh()
        run = store_collect(actor=root, grace_hours=-0.1)
        runs_advance()
        run.refresh_from_db()

        assert (run.state, run.files, run.bytes) == ("done", 1, 7)
        assert StoreReport.objects.first().files == 3
        actions = AuditEvent.objects.filter(object_id=str(run.pk)).values_list("action", flat=True)
        assert set(actions) == {"store.collect_requested", "store.collected"}

    def test_by_the_clock_waits_for_a_store_that_is_away(self, files, monkeypatch):
        def away(**_):
            raise runs.StoreUnavailable("away")

        monkeypatch.setattr(services, "blobs_collect", away)

        assert store_tidy() == 0

    def test_by_the_clock_leaves_a_trace_where_something_went(self, files):
        store_tidy()

        assert not StoreRun.objects.filter(kind="collect").exists()


class TestAsking:
    def test_is_for_platform_admins(self, ana):
        for ask in (store_collect, store_verify):
            with pytest.raises(PermissionDenied):
                ask(actor=ana)

    def test_happens_once_at_a_time(self, root):
        store_verify(actor=root)
        with pytest.raises(Conflict):
            store_verify(actor=root, sample=5)

    @pytest.mark.parametrize("hours", [0, -1, 1e9, float("nan")])
    def test_wants_a_grace_that_is_one(self, root, hours):
        with pytest.raises(FieldError, match="grace_hours"):
            store_collect(actor=root, grace_hours=hours)

    def test_of_one_process_at_a_time(self, root):
        run = store_verify(actor=root)
        StoreRun.objects.filter(pk=run.pk).update(claimed_until=Now() + CLAIM)

        assert run_advance(run.pk, seconds=1) is None
        StoreRun.objects.filter(pk=run.pk).update(claimed_until=Now() - CLAIM)
        assert run_advance(run.pk, seconds=1)
