"""Files in a bucket: durable before anybody hears of them, whole or not there, whatever breaks."""

import hashlib
import io
import logging
import os
import threading
from functools import partial

import pytest
from django.db import connections

from models_app.core import blobs, storage
from models_app.core.reading import blob_reader
from models_app.core.storage import s3_client, s3_upload
from models_app.core.storage.errors import BlobMissing, StoreUnavailable
from models_app.core.storage.partials import Partial
from tests.s3.server import BUCKET

pytestmark = pytest.mark.django_db
BIG = os.urandom(5_300_000)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(data: bytes) -> str:
    return blobs.blob_put(io.BytesIO(data))[0]


def forget(digest: str) -> None:
    """The copy on this disk is gone."""
    blobs.blob_path(digest).unlink()


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(s3_upload, "AT_ONCE", 1 << 20)
    monkeypatch.setattr(s3_upload, "LEAST_PART", 1 << 20)
    monkeypatch.setattr(s3_upload, "SIDE_BY_SIDE", 1)


class TestPutting:
    def test_is_durable_before_it_returns(self, bucket):
        digest = put(b"weights")
        forget(digest)

        with blobs.blob_open(digest) as file:
            assert file.read() == b"weights"

    def test_leaves_nothing_where_the_bucket_is_away(self, bucket):
        bucket.add("HEAD", "blobs", "503", times=9)

        with pytest.raises(StoreUnavailable):
            put(b"weights")
        assert not [path for path in blobs.blob_root().rglob("*") if path.is_file()]

    def test_sends_a_large_file_in_parts(self, bucket, small_parts):
        digest = put(BIG)
        forget(digest)

        assert bucket.count("PUT", "partNumber") == 6
        with blobs.blob_open(digest) as file:
            assert file.read() == BIG

    def test_goes_on_with_the_parts_that_are_there(self, bucket, small_parts):
        bucket.add("PUT", "partNumber=5", "500", times=9)
        with pytest.raises(StoreUnavailable):
            put(BIG)
        assert storage.home().size(sha(BIG)) is None
        bucket.faults.clear()
        bucket.requests.clear()
        put(BIG)

        assert 1 <= bucket.count("PUT", "partNumber") <= 2  # the fifth, and perhaps the sixth
        assert storage.home().size(sha(BIG)) == len(BIG)

    def test_does_not_take_over_parts_that_are_wrong(self, bucket, small_parts, s3_server):
        home = storage.home()
        at = {"Bucket": home.bucket, "Key": home.key("blobs", sha(BIG))}
        upload = home.client.create_multipart_upload(**at)["UploadId"]
        home.client.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x" * (1 << 20))
        put(BIG)
        forget(sha(BIG))

        with blobs.blob_open(sha(BIG)) as file:
            assert file.read() == BIG

    def test_believes_that_it_is_done_when_only_the_answer_was_lost(self, bucket, small_parts):
        bucket.add("POST", "uploadId", "lost")
        digest = put(BIG)

        assert storage.home().size(digest) == len(BIG)

    def test_takes_what_somebody_else_has_sent_when_it_is_refused(self, bucket, s3_server):
        key = storage.home().key("blobs", sha(b"weights"))
        other = partial(s3_server.client().put_object, Bucket=BUCKET, Key=key, Body=b"weights")
        bucket.add("PUT", "blobs", "409", then=other)

        assert put(b"weights") == sha(b"weights")

    def test_says_so_when_it_is_refused_and_nobody_has_sent_it(self, bucket):
        bucket.add("PUT", "blobs", "409")

        with pytest.raises(StoreUnavailable, match="409"):
            put(b"weights")

    @pytest.mark.django_db(transaction=True)
    def test_many_may_put_the_same_at_once(self, bucket, small_parts):
        faults = []

        def one():
            try:
                put(BIG)
            except Exception as error:
                faults.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        forget(sha(BIG))

        assert not faults
        with blobs.blob_open(sha(BIG)) as file:
            assert file.read() == BIG

    def test_replaces_what_is_too_short(self, bucket):
        home = storage.home()
        home.client.put_object(Bucket=home.bucket, Key=home.key("blobs", sha(b"whole")), Body=b"w")
        put(b"whole")

        assert home.size(sha(b"whole")) == 5

    def test_takes_what_came_in_pieces(self, bucket):
        for at in (0, 3_000_000):
            with Partial("x").appending(at, len(BIG)) as piece:
                piece.write(BIG[at : at + 3_000_000])
        digest, size = Partial("x").finish(sha(BIG))

        assert storage.home().size(digest) == size == len(BIG)
        assert not Partial("x").path.exists()

    def test_keeps_what_came_in_pieces_while_the_bucket_is_away(self, bucket):
        with Partial("x").appending(0, 5) as piece:
            piece.write(b"whole")
        bucket.add("PUT", "blobs", "503", times=9)
        with pytest.raises(StoreUnavailable):
            Partial("x").finish()
        bucket.faults.clear()

        assert Partial("x").finish() == (sha(b"whole"), 5)


class TestGetting:
    def test_goes_on_where_it_broke_off(self, bucket):
        digest = put(BIG)
        forget(digest)
        bucket.add("GET", digest, "cut", after=2_000_000)

        with blobs.blob_open(digest) as file:
            assert file.read() == BIG
        assert bucket.count("GET", digest) == 2

    def test_refuses_what_is_damaged(self, bucket):
        digest = put(b"what was meant")
        forget(digest)
        home = storage.home()
        home.client.put_object(Bucket=home.bucket, Key=home.key("blobs", digest), Body=b"other")

        with pytest.raises(BlobMissing, match="damaged"):
            blobs.blob_open(digest)
        assert not blobs.blob_path(digest).exists()
        assert not list(blobs.blob_root().glob(".get-*"))

    def test_tells_what_is_missing_from_what_is_away(self, bucket):
        with pytest.raises(BlobMissing):
            blobs.blob_open("0" * 64)
        bucket.add("GET", "blobs", "silent", times=9)

        with pytest.raises(StoreUnavailable):
            blobs.blob_open("1" * 64)


class TestPassingOn:
    def test_reads_any_part_without_a_copy_here(self, bucket):
        digest = put(BIG)
        forget(digest)

        with blob_reader(digest) as file:
            assert file.seek(0, 2) == len(BIG)
            file.seek(4_000_000)
            assert file.read(10) == BIG[4_000_000:4_000_010]
            file.seek(0)
            assert file.read() == BIG
        assert not blobs.blob_path(digest).exists()

    def test_keeps_the_end_of_what_is_damaged(self, bucket):
        digest = put(BIG)
        forget(digest)
        home, wrong = storage.home(), BIG[:-1] + bytes([BIG[-1] ^ 1])
        home.client.put_object(Bucket=home.bucket, Key=home.key("blobs", digest), Body=wrong)
        got = b""

        with blob_reader(digest) as file, pytest.raises(BlobMissing, match="damaged"):
            while piece := file.read(1 << 20):
                got += piece
        assert len(got) < len(BIG)


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"BLOB_URL": "s3://there-is-none/x"}, "SLIPWAY_BLOB_URL"),
            ({"BLOB_SECRET": "wrong-secret"}, "SLIPWAY_BLOB_SECRET"),
            ({"BLOB_KEY_ID": "nobody"}, "SLIPWAY_BLOB_"),
            ({"BLOB_ENDPOINT": "http://127.0.0.1:9"}, "SLIPWAY_BLOB_ENDPOINT"),
        ],
    )
    def test_that_are_wrong_are_named(self, bucket, settings, change, named):
        for name, value in change.items():
            setattr(settings, name, value)
        said = storage.home().check()

        assert named in said
        assert "wrong-secret" not in said

    def test_that_are_right_say_nothing(self, bucket):
        assert storage.home().check() == ""

    def test_secrets_are_in_no_log(self, bucket, settings, caplog):
        caplog.set_level(logging.DEBUG)
        settings.BLOB_SECRET = "hush-hush-hush"
        with pytest.raises(StoreUnavailable) as caught:
            put(b"weights")

        assert "hush-hush-hush" not in caplog.text + str(caught.value)

    def test_nothing_of_it_is_loaded_where_no_bucket_is_set(self):
        import subprocess
        import sys

        code = (
            "import django; django.setup(); import workers.celery, sys;"
            "from models_app.core import blobs, storage; storage.home(), storage.origin();"
            "print([n for n in sys.modules if n.startswith(('boto', 's3transfer'))])"
        )
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings.worker"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.stdout.strip() == "[]", done.stderr


def test_the_connection_asks_for_no_checksums_that_servers_may_not_know():
    client = s3_client.connect(endpoint="http://x", region="r", key_id="k", secret="s")

    assert client.meta.config.request_checksum_calculation == "when_required"
