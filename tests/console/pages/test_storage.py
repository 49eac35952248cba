"""The page of the store: for platform admins; what it draws adds up."""

import io

import pytest

from console.pages.storage.treemap import Box, squarify
from models_app.audit.models import AuditEvent
from models_app.core import blobs
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.storage.inventory import inventory_refresh
from models_app.storage.models import StoreRun
from tests.matrix import assert_needs_sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(team, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    held, _ = blobs.blob_put(io.BytesIO(b"h" * 4000))
    dataset = Dataset.objects.create(team=team, name="poems")
    manifest = {"train/0": {"sha256": held, "size": 4000}}
    DatasetVersion.objects.create(dataset=dataset, number=2, manifest=manifest)
    lost = DatasetVersion.objects.create(
        dataset=dataset, number=3,
        manifest={"train/0": {"sha256": blobs.blob_put(io.BytesIO(b"lost"))[0], "size": 4}},
    )  # fmt: skip
    inventory_refresh()
    lost.delete()
    inventory_refresh()


def test_shows_what_lies_there_and_where_it_leads(client_for, root, files):
    text = client_for(root).get("/storage/").content.decode()

    assert "3.9 KiB" in text
    assert 'href="/datasets/research/poems/versions/2/"' in text
    assert "last needed by poems v3" in text


def test_before_the_first_look(client_for, root):
    assert "Nobody has looked yet" in client_for(root).get("/storage/").content.decode()


def test_asks_for_a_check_and_a_collection(client_for, root, files):
    client = client_for(root)
    answer = client.post("/storage/verify/", {"sample": "1"}, follow=True)
    assert "A worker checks the files" in answer.content.decode()
    assert StoreRun.objects.get(kind="verify").sample == 100
    answer = client.post("/storage/verify/", follow=True)
    assert "under way" in answer.content.decode()
    client.post("/storage/collect/")

    assert StoreRun.objects.filter(kind="collect").count() == 1
    event = AuditEvent.objects.get(action="store.collect_requested")
    assert event.actor == root


def test_is_closed_to_others(client_for, ana, files):
    client = client_for(ana)

    for path in ("/storage/", "/storage/garbage/"):
        assert client.get(path).status_code == 403
    for path in ("/storage/collect/", "/storage/verify/"):
        assert client.post(path).status_code == 403
    assert "/storage/" not in client.get("/").content.decode()
    assert_needs_sign_in(["/storage/", "/storage/garbage/"], ["/storage/collect/"])


@pytest.mark.nodb
@pytest.mark.parametrize("sizes", [[1.0], [6, 6, 4, 3, 2, 2, 1], [1000, 1, 1, 1], [5] * 30])
def test_areas_are_sizes_and_fill_the_frame(sizes):
    frame = Box(10, 20, 600, 200)
    boxes = squarify(sizes, frame)
    scale = frame.width * frame.height / sum(sizes)

    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(size * scale)
        assert frame.x - 1e-6 <= box.x and box.x + box.width <= frame.x + frame.width + 1e-6
        assert frame.y - 1e-6 <= box.y and box.y + box.height <= frame.y + frame.height + 1e-6
