"""A tar file of stored files: any part of it, from the disk and out of a bucket."""

import io
import tarfile

import pytest

from models_app.core.blobs import blob_path, blob_put
from models_app.core.packing import Packed, tar_stream

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(store):
    """Bytes by name; what is stored is no longer in the cache."""
    found = {"a.txt": b"here", "long/" + "é" * 90: b"x" * 1500, "empty": b"", "whole": b"y" * 1024}
    entries = [("a.txt", 4, b"here")]
    for name, data in list(found.items())[1:]:
        sha256, size = blob_put(io.BytesIO(data))
        entries.append((name, size, sha256))
        if store == "s3":
            blob_path(sha256).unlink(missing_ok=True)
    return found, entries


def test_every_part_is_that_of_the_whole(files):
    found, entries = files
    packed = Packed(entries)

    data = b"".join(packed.pieces())

    assert len(data) == packed.size
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {info.name: archive.extractfile(info).read() for info in archive} == found
    assert data == b"".join(tar_stream((n, len(d), [d]) for n, d in found.items()))
    edges = (0, 1, 511, 512, 513, 516, 1024, 2047, 3000, packed.size - 1, packed.size)
    for begin in edges:
        for end in edges:
            assert b"".join(packed.pieces(begin, end)) == data[begin:end], (begin, end)


def test_a_file_that_became_shorter_ends_the_stream(files, settings, tmp_path):
    settings.BLOB_URL = ""
    sha256, _size = blob_put(io.BytesIO(b"abcdef"))
    packed = Packed([("a", 7, sha256)])

    with pytest.raises(EOFError):
        list(packed.pieces())
