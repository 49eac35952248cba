"""A console whose files lie in a bucket: nodes and downloads go through it as ever."""

import hashlib
import io
import os
import uuid

import pytest

from models_app.core import blobs, store
from models_app.core.storage import fetching
from models_app.core.storage.errors import StoreUnavailable
from tests.console.internal.conftest import Console
from tests.console.internal.test_store import ask
from tests.s3.faults import FaultyProxy
from tests.s3.server import BUCKET, KEY_ID, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
BIG = os.urandom(2_500_001)
DIGEST = hashlib.sha256(BIG).hexdigest()


@pytest.fixture(scope="module")
def bucket_console(s3_server, tmp_path_factory, django_db_setup, django_db_blocker):
    """The console, with a proxy between it and its bucket."""
    proxy = FaultyProxy(s3_server.port)
    console = Console(
        tmp_path_factory.mktemp("console"),
        SLIPWAY_BLOB_URL=f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}", SLIPWAY_BLOB_ENDPOINT=proxy.url,
        SLIPWAY_BLOB_KEY_ID=KEY_ID, SLIPWAY_BLOB_SECRET=SECRET,
    )  # fmt: skip
    console.proxy = proxy
    with django_db_blocker.unblock():
        console.start()
    yield console
    console.stop()
    proxy.close()


@pytest.fixture
def console(bucket_console, node, settings, monkeypatch):
    """This process is a node of that console."""
    monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
    settings.STORE_URL = bucket_console.url
    return bucket_console


def forget(console) -> None:
    """The console has no copy on its own disk."""
    console.blob(DIGEST).unlink(missing_ok=True)


def test_a_nodes_file_goes_into_the_bucket_and_comes_back(console, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PIECE", 1_000_000)
    blobs.blob_put(io.BytesIO(BIG))
    assert console.proxy.count("PUT", DIGEST) == 1
    forget(console)

    settings.DATA_DIR = tmp_path / "another node"
    with blobs.blob_open(DIGEST) as file:
        assert file.read() == BIG
    assert not console.blob(DIGEST).exists()  # passed on, not kept


def test_any_part_is_read_past_the_disk(console, settings):
    blobs.blob_put(io.BytesIO(BIG))
    forget(console)
    path = f"/internal/blobs/{DIGEST}"

    answer, body = ask(console, settings, "GET", path, Range="bytes=1000000-1000009")
    assert (answer.status, body) == (206, BIG[1_000_000:1_000_010])
    assert answer.headers["Content-Range"] == f"bytes 1000000-1000009/{len(BIG)}"
    answer, body = ask(console, settings, "GET", path, Range="bytes=-5")
    assert (answer.status, body) == (206, BIG[-5:])
    answer, _ = ask(console, settings, "GET", path, Range=f"bytes={len(BIG)}-")
    assert answer.status == 416
    assert not console.blob(DIGEST).exists()


def test_a_bucket_that_is_away_is_said_to_be(console, settings):
    blobs.blob_put(io.BytesIO(BIG))
    forget(console)
    for method in ("HEAD", "GET"):
        console.proxy.add(method, "blobs", "503", times=8)

    answer, body = ask(console, settings, "GET", f"/internal/blobs/{DIGEST}")
    assert answer.status == 503
    assert b"store_unavailable" in body
    with pytest.raises(StoreUnavailable):
        blobs.blob_put(io.BytesIO(b"something new"))
    console.proxy.faults.clear()
    assert blobs.blob_put(io.BytesIO(b"something new"))
