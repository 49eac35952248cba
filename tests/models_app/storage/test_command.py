"""`manage.py store`: what the page and the API do, on a terminal; and moving there and back."""

import io

import pytest
from django.core.management import CommandError, call_command

from models_app.core import blobs, storage
from models_app.core.storage.local import LocalHome
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.storage.checks import store_check
from tests.s3.server import use_bucket

pytestmark = pytest.mark.django_db
FILES = [b"one", b"two" * 1000, b"three"]


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("store", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def digests(team):
    found = [blobs.blob_put(io.BytesIO(data))[0] for data in FILES]
    dataset = Dataset.objects.create(team=team, name="poems")
    manifest = {f"{n}": {"sha256": digest, "size": 1} for n, digest in enumerate(found[:2])}
    DatasetVersion.objects.create(dataset=dataset, number=1, manifest=manifest)
    return found


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("store", ["disk"], indirect=True)
class TestCommand:
    def test_says_what_lies_there(self, digests):
        said = run("status")

        assert "3 files" in said
        assert "garbage   1 files" in said

    def test_previews_what_would_go(self, digests):
        said = run("collect", "--preview")

        assert digests[2] in said and digests[0] not in said
        assert "nobody, ever" in said
        assert "0 files went" in run("collect")

    def test_checks_and_fails_where_something_is_damaged(self, digests):
        assert "3 files read" in run("verify")
        blobs.blob_path(digests[0]).chmod(0o644)
        blobs.blob_path(digests[0]).write_bytes(b"eno")
        with pytest.raises(CommandError, match="set aside"):
            run("verify")

    def test_refuses_what_is_no_number(self):
        with pytest.raises(CommandError, match="hours"):
            run("collect", "--grace-hours", "-3")


@pytest.mark.parametrize("store", ["disk"], indirect=True)
class TestMoving:
    def test_brings_everything_into_the_bucket_and_back(self, store, digests, settings, s3_server):
        use_bucket(settings, s3_server.url)
        assert store_check()
        assert "3 files" in run("move")

        assert store_check() == []
        assert {one.sha256 for one in storage.home().each()} == set(digests)
        for digest in digests:
            blobs.blob_path(digest).unlink()
        assert "3 files" in run("move", "--back")
        settings.BLOB_URL = ""
        assert store_check() == []
        assert [blobs.blob_open(digest).read() for digest in digests] == FILES

    def test_leaves_out_what_is_damaged(self, store, digests, settings, s3_server):
        blobs.blob_path(digests[1]).chmod(0o644)
        blobs.blob_path(digests[1]).write_bytes(b"owt")
        use_bucket(settings, s3_server.url)

        with pytest.raises(CommandError, match=digests[1]):
            run("move")
        assert {one.sha256 for one in storage.home().each()} == {digests[0], digests[2]}
        assert [one.sha256 for one in LocalHome().aside()] == [digests[1]]

    def test_wants_a_bucket(self, store):
        with pytest.raises(CommandError, match="SLIPWAY_BLOB_URL"):
            run("move")
