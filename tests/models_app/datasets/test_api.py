"""The API of datasets: uploads, imports from the server's directory, rows, rights."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_app.core.blobs import blob_path, blob_root
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import dataset_create
from models_app.jobs.models import Job
from tests.factories.data import ready_version, sample_text
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def dataset(ana, team):
    return dataset_create(actor=ana, team=team, name="texts")


def upload(api, dataset, *files, **fields):
    parts = [SimpleUploadedFile(name, data) for name, data in files]
    return api.post(
        f"{V1}/datasets/{dataset.pk}/versions", {"files": parts, **fields}, format="multipart"
    )


class TestUpload:
    def test_stores_the_files_and_submits_the_import(self, ben, dataset, api_for, tmp_path):
        api = api_for(ben)

        answer = upload(api, dataset, ("b.txt", sample_text()), ("a.txt", b"x\n\ny"), seed="7")
        version = DatasetVersion.objects.get(pk=answer.json()["id"])
        run_job(version.produced_by, tmp_path)

        assert answer.status_code == 202
        assert [file["name"] for file in version.source["files"]] == ["a.txt", "b.txt"]
        assert blob_path(version.source["files"][0]["sha256"]).read_bytes() == b"x\n\ny"
        detail = api.get(answer["Location"]).json()
        assert (detail["state"], detail["seed"]) == ("ready", 7)
        assert detail["counts"]["total"]["documents"] == 62
        rows = api.get(f"{answer['Location']}/rows?split=validation&limit=3").json()
        assert (len(rows["rows"]), rows["total"]) == (3, 6)

    @pytest.mark.parametrize(
        ("files", "fields", "field"),
        [
            ([], {}, "files"),
            ([("a.exe", b"x")], {}, "files"),
            ([("a.txt", b"")], {}, "files"),
            ([("a.txt", b"x"), ("a.txt", b"y")], {}, "files"),
            ([("a.txt", b"x")], {"validation_fraction": "2"}, "validation_fraction"),
            ([("a.txt", b"x")], {"sed": "2"}, "sed"),
            ([("a.txt", b"x")], {"split": "odd"}, "split"),
        ],
    )
    def test_refuses_bad_input_by_field(self, ben, dataset, api_for, files, fields, field):
        answer = upload(api_for(ben), dataset, *files, **fields)

        assert answer.status_code == 422
        assert field in answer.json()["errors"]
        assert not DatasetVersion.objects.exists()
        assert not Job.objects.exists()

    def test_stops_at_the_limit_and_leaves_nothing(self, ben, dataset, api_for, settings):
        settings.UPLOAD_LIMIT_MIB = 1

        answer = upload(api_for(ben), dataset, ("a.txt", b"x" * (3 << 20)))

        assert answer.status_code == 413
        assert not list(blob_root().glob(".put-*"))

    def test_answers_the_same_for_a_repeated_key(self, ben, dataset, api_for):
        api = api_for(ben)
        keys = [
            api.post(
                f"{V1}/datasets/{dataset.pk}/versions",
                {"files": [SimpleUploadedFile("a.txt", b"x\n\ny")]},
                format="multipart",
                headers={"Idempotency-Key": "once"},
            ).json()["id"]
            for _ in range(2)
        ]

        assert keys[0] == keys[1]
        assert Job.objects.count() == 1


class TestPath:
    @pytest.fixture(autouse=True)
    def directory(self, settings, tmp_path):
        settings.IMPORT_DIR = tmp_path / "import"
        settings.IMPORT_DIR.mkdir()
        (settings.IMPORT_DIR / "a.txt").write_bytes(sample_text())
        (tmp_path / "secret.txt").write_text("secret")
        (settings.IMPORT_DIR / "link.txt").symlink_to(tmp_path / "secret.txt")
        (settings.IMPORT_DIR / "empty").mkdir()

    def test_reads_a_file_of_the_import_directory(self, ben, dataset, api_for):
        answer = api_for(ben).post(f"{V1}/datasets/{dataset.pk}/versions", {"path": "a.txt"})

        assert answer.status_code == 202

    @pytest.mark.parametrize(
        "path",
        ["../secret.txt", "link.txt", "/etc/passwd", "nothing.txt", "empty", "", "a\0.txt",
         "..", "a.txt/../../secret.txt"],
    )  # fmt: skip
    def test_never_leaves_it(self, ben, dataset, api_for, path):
        answer = api_for(ben).post(f"{V1}/datasets/{dataset.pk}/versions", {"path": path})

        assert answer.status_code == 422
        assert "path" in answer.json()["errors"]


class TestRights:
    def test_outsiders_find_nothing(self, ana, cai, team, api_for, tmp_path):
        version = ready_version(ana, team, tmp_path)
        api = api_for(cai)
        urls = [
            f"/datasets/{version.dataset_id}", f"/datasets/{version.dataset_id}/versions",
            f"/dataset-versions/{version.pk}", f"/dataset-versions/{version.pk}/rows",
        ]  # fmt: skip

        assert [api.get(V1 + url).status_code for url in urls] == [404] * len(urls)
        assert upload(api, version.dataset, ("a.txt", b"x")).status_code == 404
        assert api.get(f"{V1}/datasets").json()["results"] == []
        again = api.post(f"{V1}/dataset-versions/{version.pk}/import-again", {})
        assert again.status_code == 404

    def test_viewers_read_but_do_not_write(self, ana, eve, team, api_for, tmp_path):
        version = ready_version(ana, team, tmp_path)

        assert api_for(eve).get(f"{V1}/dataset-versions/{version.pk}").status_code == 200
        assert upload(api_for(eve), version.dataset, ("a.txt", b"x")).status_code == 403

    def test_a_token_to_read_does_not_write(self, ben, dataset, api_for):
        assert upload(api_for(ben, "read"), dataset, ("a.txt", b"x")).status_code == 403
