"""At the start: wrong settings are named, and no folder is taken for a cache that is none."""

import io

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from console.settings.storage import require_sound
from models_app.core import blob_cache, blobs
from models_app.storage.checks import store_check, store_reach
from tests.s3.server import use_bucket

pytestmark = pytest.mark.django_db


def said() -> str:
    return " ".join(f"{error.msg} {error.hint}" for error in [*store_check(), *store_reach()])


@pytest.mark.usefixtures("store")
def test_says_nothing_where_all_is_well():
    blobs.blob_put(io.BytesIO(b"x"))

    assert said() == ""


def test_names_the_setting_that_is_wrong(bucket, settings):
    settings.BLOB_SECRET = "something-wrong"

    assert "SLIPWAY_BLOB_SECRET" in said()
    assert "something-wrong" not in said()


def test_lets_no_installation_start_with_it(bucket, settings):
    settings.BLOB_ENDPOINT = "http://127.0.0.1:9"

    with pytest.raises(CommandError, match="SLIPWAY_BLOB_ENDPOINT"):
        call_command("migrate", skip_checks=True, verbosity=0)


@pytest.mark.parametrize("store", ["disk"], indirect=True)
def test_files_that_were_stored_before_are_not_taken_for_copies(store, settings, s3_server):
    digest, _ = blobs.blob_put(io.BytesIO(b"the only one"))
    use_bucket(settings, s3_server.url)
    settings.CACHE_MIB = 1
    for _ in range(3):
        blobs.blob_put(io.BytesIO(b"x" * 900_000 + bytes([_])))

    assert "manage.py store move" in said()
    assert blobs.blob_path(digest).exists()


def test_a_bucket_that_is_away_stops_no_command(bucket, settings):
    """Only the start of an installation, and whoever asks for it."""
    settings.BLOB_ENDPOINT = "http://127.0.0.1:9"

    call_command("check", fail_level="ERROR")
    with pytest.raises(SystemCheckError, match="SLIPWAY_BLOB_ENDPOINT"):
        call_command("check", deploy=True, tags=["storage"], fail_level="ERROR")


def test_an_empty_folder_may_change_hands(bucket, settings):
    assert blob_cache.claim(blobs.blob_root(), "s3://mistyped")

    assert said() == ""
    assert blob_cache.claim(blobs.blob_root(), settings.BLOB_URL)


def test_a_cache_is_not_taken_for_the_store(bucket, settings):
    blobs.blob_put(io.BytesIO(b"in the bucket"))
    url, settings.BLOB_URL = settings.BLOB_URL, ""

    assert f"SLIPWAY_BLOB_URL={url}" in said()


def test_a_cache_stays_below_its_limit(bucket, settings):
    settings.CACHE_MIB = 1
    for number in range(6):
        blobs.blob_put(io.BytesIO(b"x" * 400_000 + bytes([number])))

    assert blob_cache.cache_of(blobs.blob_root()) == settings.BLOB_URL
    assert sum(path.stat().st_size for path in blobs.blob_root().glob("??/??/*")) <= 1 << 20


@pytest.mark.nodb
class TestForms:
    @pytest.mark.parametrize("url", ["bucket", "s3://", "s3://B", "http://x/y", "s3://ab c/d"])
    def test_of_the_url(self, url):
        with pytest.raises(ImproperlyConfigured, match="SLIPWAY_BLOB_URL"):
            require_sound(url, "", "", "")

    @pytest.mark.parametrize("endpoint", ["example.com", "ftp://x", "https://me:secret@x"])
    def test_of_the_endpoint(self, endpoint):
        with pytest.raises(ImproperlyConfigured, match="SLIPWAY_BLOB_ENDPOINT"):
            require_sound("s3://bucket", endpoint, "", "")

    def test_a_key_needs_its_secret(self):
        with pytest.raises(ImproperlyConfigured, match="SLIPWAY_BLOB_SECRET is not"):
            require_sound("s3://bucket", "", "key", "")
        with pytest.raises(ImproperlyConfigured, match="SLIPWAY_BLOB_KEY_ID is not"):
            require_sound("s3://bucket", "", "", "hush")
