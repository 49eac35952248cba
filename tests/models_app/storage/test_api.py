"""The API of the store: for platform admins, and for nobody else."""

import io

import pytest

from models_app.core import blobs
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.storage.inventory import inventory_refresh
from models_app.storage.runs import runs_advance
from tests.matrix import assert_needs_sign_in

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("store"),
    pytest.mark.parametrize("store", ["disk"], indirect=True),
]
PATHS = ["/api/v1/storage", "/api/v1/storage/files", "/api/v1/storage/holders",
         "/api/v1/storage/runs"]  # fmt: skip


@pytest.fixture
def files(team):
    """One file of a dataset, and one of nobody."""
    held, lost = (blobs.blob_put(io.BytesIO(data))[0] for data in (b"held", b"of nobody"))
    dataset = Dataset.objects.create(team=team, name="poems")
    manifest = {"train/0": {"sha256": held, "size": 4}}
    DatasetVersion.objects.create(dataset=dataset, number=2, manifest=manifest)
    inventory_refresh()
    return held, lost


def test_shows_what_lies_there(api_for, root, files):
    client = api_for(root)
    found = client.get("/api/v1/storage").json()

    assert (found["files"], found["bytes"], found["logical_bytes"]) == (2, 13, 4)
    assert found["garbage_files"] == 1 and found["due"] == {"files": 0, "bytes": 0}
    assert found["checked"]["files"] == 0
    assert found["by_team"] == {
        "research": {"files": 1, "bytes": 4, "share_bytes": 4, "own_bytes": 4}
    }
    holder = client.get("/api/v1/storage/holders").json()["results"][0]
    assert (holder["label"], holder["team"], holder["own_bytes"]) == ("poems v2", "research", 4)


def test_shows_who_needs_a_file(api_for, root, files):
    found = api_for(root).get(f"/api/v1/storage/files/{files[0]}").json()

    assert (found["references"], found["named_by"]) == (1, ["dataset version poems v2"])
    assert found["grace_ends_at"] is None
    assert api_for(root).get("/api/v1/storage/files/nothing").status_code == 404


def test_shows_garbage_and_until_when_it_is_kept(api_for, root, files):
    (row,) = api_for(root).get("/api/v1/storage/files?of=garbage").json()["results"]

    assert row["sha256"] == files[1]
    assert row["grace_ends_at"] > row["unnamed_since"]
    answer = api_for(root).get("/api/v1/storage/files?of=everything")
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["of"])


def test_begins_a_check_and_follows_it(api_for, root, files):
    client = api_for(root)
    begun = client.post("/api/v1/storage/runs", {"kind": "verify"})
    assert (begun.status_code, begun.json()["state"]) == (202, "queued")
    assert client.post("/api/v1/storage/runs", {"kind": "verify"}).status_code == 409
    runs_advance()

    done = client.get(begun["Location"]).json()
    assert (done["state"], done["files"], done["files_total"]) == ("done", 2, 2)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"kind": "burn"}, "kind"), ({"kind": "collect", "grace_hours": 0.5}, "grace_hours"),
     ({"kind": "verify", "sample": 0}, "sample"), ({}, "kind")],
)  # fmt: skip
def test_refuses_by_field(api_for, root, body, field):
    answer = api_for(root).post("/api/v1/storage/runs", body)

    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])


def test_before_the_first_look_says_so(api_for, root):
    assert api_for(root).get("/api/v1/storage").status_code == 404


def test_is_closed_to_others(api_for, root, ana, files):
    assert_needs_sign_in(PATHS, ["/api/v1/storage/runs"])
    for path in [*PATHS, f"/api/v1/storage/files/{files[0]}"]:
        assert api_for(ana).get(path).status_code == 403, path
    assert api_for(ana).post("/api/v1/storage/runs", {"kind": "collect"}).status_code == 403
    reading = api_for(root, "read")
    assert reading.get("/api/v1/storage").status_code == 200
    assert reading.post("/api/v1/storage/runs", {"kind": "collect"}).status_code == 403
