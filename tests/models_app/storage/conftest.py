"""A bucket with a proxy in front of it that fails as told; time between tries is short."""

import pytest

from models_app.core.storage import fetching, s3, s3_client
from tests.s3.faults import FaultyProxy
from tests.s3.server import use_bucket


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
    monkeypatch.setattr(s3_client, "READ_S", 1)
    monkeypatch.setattr(s3_client, "HASTY_S", 1)
    monkeypatch.setattr(s3_client, "TRIES", 2)
    monkeypatch.setattr(s3, "SETTLE_S", 0.01)


@pytest.fixture
def bucket(s3_server, settings, tmp_path, db, impatient):
    """Files lie in a bucket, behind a proxy."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    proxy = FaultyProxy(s3_server.port)
    use_bucket(settings, proxy.url)
    yield proxy
    proxy.close()
