"""Content-addressed files: stored once, whole or not at all, never outside their tree."""

import errno
import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from models_app.core import blobs
from models_app.core.errors import SlipwayError
from models_app.core.storage.errors import StoreFull

pytestmark = pytest.mark.usefixtures("store")


class TestBlob:
    def test_is_found_by_its_content_and_read_only(self):
        sha256, size = blobs.blob_put(io.BytesIO(b"hello"))

        assert (sha256, size) == (hashlib.sha256(b"hello").hexdigest(), 5)
        assert blobs.blob_open(sha256).read() == b"hello"
        assert blobs.blob_path(sha256).stat().st_mode & 0o222 == 0

    def test_is_stored_once(self):
        first, _ = blobs.blob_put(io.BytesIO(b"same"))
        made = blobs.blob_path(first).stat().st_mtime_ns
        blobs.blob_put(io.BytesIO(b"same"))

        assert blobs.blob_path(first).stat().st_mtime_ns == made
        assert len(list(blobs.blob_root().glob("??/??/*"))) == 1

    def test_leaves_nothing_behind_when_reading_fails(self):
        class Broken(io.BytesIO):
            def read(self, *args):
                if self.tell():
                    raise OSError("the line broke")
                return super().read(3)

        with pytest.raises(OSError, match="the line broke"):
            blobs.blob_put(Broken(b"abcdef"))

        assert not any(path.is_file() for path in blobs.blob_root().rglob("*"))

    def test_says_when_the_disk_is_full_and_keeps_nothing(self, monkeypatch):
        class Full:
            """A temporary file on a disk without room."""

            def __init__(self, file):
                self._file, self.name = file, file.name

            def write(self, data):
                raise OSError(errno.ENOSPC, "No space left on device")

            def close(self):
                self._file.close()

        real = blobs._temporary
        monkeypatch.setattr(blobs, "_temporary", lambda: Full(real()))

        with pytest.raises(StoreFull):
            blobs.blob_put(io.BytesIO(b"too much"))
        assert not [path for path in blobs.blob_root().rglob("*") if path.is_file()]

    def test_a_killed_writer_leaves_nothing_to_be_seen(self, settings):
        code = (
            "import django, os, signal; django.setup();"
            "from models_app.core.blobs import BlobWriter;"
            "w = BlobWriter(); w.write(b'half of it'); w._file.flush();"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        environment = {**os.environ, "SLIPWAY_DATA_DIR": str(settings.DATA_DIR)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=False)

        assert not list(blobs.blob_root().glob("??/??/*"))
        assert len(list(blobs.blob_root().glob(".put-*"))) == 1  # until the collector comes

    @pytest.mark.django_db(transaction=True)
    def test_many_may_put_the_same_at_once(self):
        data = os.urandom(300_000)

        def put(_turn):
            try:
                return blobs.blob_put(io.BytesIO(data))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(put, range(8)))

        assert found == [(hashlib.sha256(data).hexdigest(), len(data))] * 8
        assert blobs.blob_open(found[0][0]).read() == data
        assert not list(blobs.blob_root().glob(".put-*"))

    def test_that_is_missing_says_so(self):
        with pytest.raises(blobs.BlobMissing):
            blobs.blob_open("0" * 64)


class TestTree:
    def test_comes_back_as_it_was(self, tmp_path):
        source = tmp_path / "source"
        (source / "deep").mkdir(parents=True)
        (source / "a.txt").write_text("a")
        (source / "deep" / "b.txt").write_text("b")
        manifest = blobs.tree_put(source)

        laid = blobs.tree_materialise(manifest, tmp_path / "laid")

        assert {p.relative_to(laid).as_posix() for p in laid.rglob("*.txt")} == set(manifest)
        assert (laid / "deep" / "b.txt").read_text() == "b"

    def test_refuses_links(self, tmp_path):
        source = tmp_path / "source"
        source.mkdir()
        (source / "innocent.txt").symlink_to("/etc/passwd")

        with pytest.raises(SlipwayError, match=r"innocent\.txt is a link"):
            blobs.tree_put(source)

    @pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt"])
    def test_never_leaves_its_folder(self, tmp_path, name):
        sha256, size = blobs.blob_put(io.BytesIO(b"x"))

        with pytest.raises(SlipwayError, match="leaves its tree"):
            blobs.tree_materialise({name: {"sha256": sha256, "size": size}}, tmp_path / "laid")

    def test_notices_a_damaged_file(self, store, tmp_path):
        sha256, size = blobs.blob_put(io.BytesIO(b"whole"))
        blobs.blob_path(sha256).chmod(0o644)
        blobs.blob_path(sha256).write_bytes(b"hole")
        manifest = {"a": {"sha256": sha256, "size": size}}

        if store == "s3":  # what lies here is but a copy
            laid = blobs.tree_materialise(manifest, tmp_path / "laid")
            assert (laid / "a").read_bytes() == b"whole"
        else:
            with pytest.raises(blobs.BlobMissing, match="missing or damaged"):
                blobs.tree_materialise(manifest, tmp_path / "laid")
