"""Files of runs: kept by content, listed, fetched; paths stay in their tree."""

import pytest

from models_app.registry.models import LoggedRun, RunFile
from models_app.storage.inventory import inventory_refresh
from models_app.storage.models import Holder
from models_app.storage.references import references_of

pytestmark = pytest.mark.django_db
FILES = "/mlflow/api/2.0/mlflow-artifacts/artifacts"


class Files:
    """A run's files as its client sees them."""

    def __init__(self, wire, key):
        self.client, self.key = wire.client, key
        self.experiment = LoggedRun.objects.get(key=key).experiment_id
        self.root = f"{self.experiment}/{key}/artifacts"

    def put(self, path, data, kind="text/plain"):
        return self.client.put(f"{FILES}/{self.root}/{path}", data, content_type=kind)

    def get(self, path):
        answer = self.client.get(f"{FILES}/{self.root}/{path}")
        return answer.status_code, b"".join(answer.streaming_content) if answer.streaming else None

    def list(self, path=""):
        folder = f"{self.root}/{path}" if path else self.root
        answer = self.client.get(FILES, {"path": folder})
        assert answer.status_code == 200, answer.content
        return answer.json()["files"]


@pytest.fixture
def wire(store, wire_for, ben):
    return wire_for(ben)


@pytest.fixture
def files(wire):
    return Files(wire, wire.run())


def test_files_are_left_listed_and_fetched(files):
    for path, data in (("a.txt", b"one"), ("deep/er/b.json", b'{"a": 1}'), ("deep/c", b"")):
        assert files.put(path, data, "application/json").status_code == 200
    assert files.list() == [
        {"path": "a.txt", "is_dir": False, "file_size": 3}, {"path": "deep", "is_dir": True}
    ]  # fmt: skip
    assert files.list("deep") == [
        {"path": "c", "is_dir": False, "file_size": 0}, {"path": "er", "is_dir": True}
    ]  # fmt: skip
    assert files.list("a.txt") == [{"path": "a.txt", "is_dir": False, "file_size": 3}]
    assert files.list("nothing") == []
    assert files.get("deep/er/b.json") == (200, b'{"a": 1}')
    assert files.get("missing")[0] == 404


def test_the_newest_under_a_path_counts(files):
    for data in (b"one", b"two", b"two"):
        assert files.put("a.txt", data).status_code == 200
    assert files.get("a.txt") == (200, b"two")
    assert RunFile.objects.count() == 1


def test_a_file_is_held_by_its_run(files, wire):
    files.put("a.txt", b"held by nothing else")
    (row,) = RunFile.objects.all()
    assert references_of(row.sha256) == [row]
    inventory_refresh()
    holder = Holder.objects.get(kind="registry.runfile")
    assert (holder.object_id, holder.team_id) == (row.pk, row.run.team_id)


@pytest.mark.parametrize(
    "path",
    ["../a", "a/../../b", "%2e%2e/a", "a%2f..%2f..%2fb", "/etc/passwd", "a//b", "./a", "a%00b",
     "a%5cb", "x" * 501, "/".join("a" * 30)],
)  # fmt: skip
def test_paths_stay_in_their_tree(files, path, settings):
    answer = files.put(path, b"out")
    assert answer.status_code in (400, 404), answer.content
    assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    assert not RunFile.objects.exists()


def test_nothing_is_file_and_folder_at_once(files):
    files.put("a/b", b"1")
    for path in ("a", "a/b/c"):
        answer = files.put(path, b"2")
        assert answer.status_code == 400
        assert "a/b" in answer.json()["message"]


def test_files_that_are_too_large_are_refused(files, settings):
    settings.UPLOAD_LIMIT_MIB = 1
    answer = files.put("a.bin", b"x" * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert not RunFile.objects.exists()


def test_outsiders_and_viewers(files, wire_for, cai, eve):
    files.put("a.txt", b"ours")
    foreign, viewer = Files(wire_for(cai), files.key), Files(wire_for(eve), files.key)
    assert foreign.get("a.txt")[0] == 404
    assert foreign.put("b.txt", b"").status_code == 404
    assert foreign.client.get(FILES, {"path": foreign.root}).status_code == 404
    assert viewer.get("a.txt") == (200, b"ours")
    assert viewer.put("b.txt", b"").status_code == 403
    assert RunFile.objects.count() == 1


def test_a_run_of_another_experiment_is_not_there(files):
    files.root = f"{files.experiment + 1}/{files.key}/artifacts"
    assert files.put("a.txt", b"").status_code == 404
    files.root = f"{files.experiment}/{files.key}/else"
    assert files.put("a.txt", b"").status_code == 404


def test_files_are_not_deleted(files):
    files.put("a.txt", b"1")
    answer = files.client.delete(f"{FILES}/{files.root}/a.txt")
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")


def test_the_server_says_what_it_can_do(wire):
    answer = wire.client.get("/mlflow/api/3.0/mlflow/server-info")
    assert answer.json()["multipart_uploads_enabled"] is False
