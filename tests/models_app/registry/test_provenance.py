"""Provenance that outsiders of the program can check: fetch everything, hash it, compare."""

import hashlib
import json

import pytest

from models_app.configs.models import ConfigRevision
from models_app.core.blobs import blob_path
from models_app.datasets.models import DatasetVersion
from models_app.registry.models import ModelVersion
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def url(version):
    return f"{V1}/model-versions/{version.pk}/provenance"


def body(answer):
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


@pytest.fixture
def own_store(settings, tmp_path):
    """Files are the same wherever they are made: what is damaged must be this test's alone."""
    settings.DATA_DIR = tmp_path / "data"


def damaged(sha256):
    """Somebody changed the stored file behind our back."""
    path = blob_path(sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


class TestItems:
    def test_are_fetched_and_hash_to_what_was_said(self, ben, version, url, api_for):
        api = api_for(ben)

        found = api.get(url).json()

        names = {item["name"] for item in found["items"]}
        assert {"dataset", "source/a.txt", "config", "params", "files", "environment", "code",
                "log", "metrics", "files/model.safetensors"} <= names  # fmt: skip
        for item in found["items"]:
            data = body(api.get(item["href"]))
            assert item["algorithm"] == "sha256"
            assert hashlib.sha256(data).hexdigest() == item["digest"], item["name"]
            assert item["size"] in (None, len(data))

    def test_hold_what_a_repetition_needs(self, ben, version, url, api_for):
        api = api_for(ben)

        def read(name):
            return body(api.get(f"{url}/items/{name}"))

        environment = json.loads(read("environment"))
        assert environment["packages"]["torch"]
        assert len(environment["package_digests"]["torch"]) == 64
        assert environment["threads"]["torch"] == 1
        assert environment["processor"]["flags"]
        assert json.loads(read("config"))["spec"]["steps"] == 6
        assert b"workers/lm/training/trainer.py" in read("code")
        assert b"step 6/6" in read("log")
        steps = [row["step"] for row in map(json.loads, read("metrics").splitlines())
                 if row["name"] == "loss"]  # fmt: skip
        assert steps == [1, 2, 3, 4, 5, 6]

    def test_that_are_not_there_are_not_found(self, ben, version, url, api_for):
        api = api_for(ben)

        assert api.get(f"{url}/items/secret").status_code == 404
        assert api.get(f"{url}/items/files/../../etc/passwd").status_code == 404

    def test_are_hidden_from_outsiders(self, cai, version, url, api_for):
        urls = [f"{url}/items/environment", f"{url}/verify", url]

        assert_hidden(api_for(cai), urls)
        assert_needs_sign_in(urls)


class TestVerification:
    def test_finds_everything_equal(self, ben, version, url, api_for):
        found = api_for(ben).get(f"{url}/verify").json()

        assert found["verdict"] == "equal"
        assert found["counts"]["equal"] == len(found["items"]) > 10
        assert found["bytes"] > version.size_bytes

    @pytest.mark.usefixtures("own_store")
    def test_names_what_was_changed_and_what_is_gone(self, ben, version, url, api_for):
        damaged(version.manifest["config.json"]["sha256"])
        blob_path(version.record.files["code.tar"]["sha256"]).unlink()
        ConfigRevision.objects.filter(pk=version.config_revision_id).update(
            spec={**version.config_revision.spec, "seed": 7}
        )
        DatasetVersion.objects.filter(pk=version.dataset_version_id).update(digest="0" * 64)

        found = api_for(ben).get(f"{url}/verify").json()

        wrong = {item["name"]: item["result"] for item in found["items"]
                 if item["result"] != "equal"}  # fmt: skip
        assert wrong == {"files/config.json": "differs", "code": "missing", "config": "differs",
                         "dataset": "differs"}  # fmt: skip
        assert found["verdict"] == "differs"


class TestDigests:
    def test_of_one_recipe_are_shared_and_of_two_versions_never(self, ben, trained, api_for):
        api = api_for(ben)
        rows = [trained(), trained(), trained(seed=9)]

        found = [api.get(f"{V1}/model-versions/{row.pk}/provenance").json() for row in rows]

        same, again, other = (answer["recipe_digest"] for answer in found)
        assert same == again != other
        assert len({answer["digest"] for answer in found}) == 3

    def test_of_equal_trainings_agree_in_their_files(self, trained):
        first, second = trained(), trained()

        assert first.digest == second.digest

    def test_stay_the_same(self, ben, ana, version, url, api_for, evaluated):
        before = api_for(ben).get(url).json()["digest"]

        evaluated(version)
        api_for(ben).patch(f"{V1}/model-versions/{version.pk}", {"notes": "Nice."})

        assert api_for(ben).get(url).json()["digest"] == before


class TestVersionsThatNoTrainingMade:
    def test_have_provenance_all_the_same(self, ben, model, version, api_for):
        plain = ModelVersion.objects.create(
            model=model, number=7, state="ready", digest=version.digest, manifest=version.manifest
        )
        api = api_for(ben)

        found = api.get(f"{V1}/model-versions/{plain.pk}/provenance").json()
        checked = api.get(f"{V1}/model-versions/{plain.pk}/provenance/verify").json()

        assert found["recipe_digest"] is None
        assert {item["role"] for item in found["items"]} == {"output"}
        assert checked["verdict"] == "equal"
