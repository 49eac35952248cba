"""Pages of datasets: list, new, upload, one dataset, one version in its tabs."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from models_app.core.clock import now
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.services import dataset_create
from models_app.jobs.models import Job
from models_app.registry.models import Model, ModelVersion
from tests.factories.data import pending_version, ready_version, sample_text, stored
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db
OPTIONS = {
    "document": "auto",
    "text_field": "text",
    "split": "random",
    "validation_fraction": "0.1",
    "seed": "1337",
    "max_documents": "",
}
HERE = ("research", "texts")
TABS = (
    "dataset_version",
    "dataset_version_statistics",
    "dataset_version_source",
    "dataset_version_used",
)


@pytest.fixture
def version(ana, team, tmp_path) -> DatasetVersion:
    return ready_version(ana, team, tmp_path)


def text(answer) -> str:
    return answer.content.decode()


def file(name="a.txt", data=None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, sample_text() if data is None else data)


def form(**changes):
    data = {"name": "texts", "team": "research", "description": "", "source": "upload", **OPTIONS}
    return {**data, **changes}


class TestList:
    def test_shows_the_newest_version_and_the_figures_of_the_newest_ready_one(
        self, ana, team, version, client_for
    ):
        pending_version(ana, team, stored("b.txt", sample_text(9)))
        page = text(client_for(ana).get("/datasets/"))
        assert "v2</a>" in page
        assert "Importing" in page
        assert 'data-label="Documents">60<' in page
        assert f'data-live-topic="team.{team.pk}"' in page

    def test_filters_by_name_and_team(self, root, team, other_team, client_for):
        dataset_create(actor=root, team=team, name="letters")
        dataset_create(actor=root, team=other_team, name="contracts")
        client = client_for(root)
        assert "contracts" not in text(client.get("/datasets/?q=LETT"))
        assert ">letters<" not in text(client.get("/datasets/?team=legal"))
        assert "No dataset matches" in text(client.get("/datasets/?q=nothing"))

    def test_comes_in_pages(self, ana, team, client_for):
        for number in range(27):
            dataset_create(actor=ana, team=team, name=f"set-{number:02}")
        first = text(client_for(ana).get("/datasets/"))
        assert first.count('class="name"') == 25
        second = text(client_for(ana).get("/datasets/?page=2"))
        assert second.count('class="name"') == 2
        assert "26 to 27 of 27" in second

    def test_empty_says_what_to_do(self, ana, eve, client_for):
        assert "Upload text files or tables" in text(client_for(ana).get("/datasets/"))
        viewer = text(client_for(eve).get("/datasets/"))
        assert "Developers and admins of your teams" in viewer
        assert 'href="/datasets/new/"' not in viewer

    def test_outsiders_see_nothing_of_it(self, cai, version, client_for):
        assert ">texts<" not in text(client_for(cai).get("/datasets/"))


class TestNew:
    def test_upload_makes_the_dataset_its_version_and_the_job(
        self, ben, team, client_for, tmp_path
    ):
        data = form(description="Poems.", files=[file("a.txt"), file("b.txt", sample_text(9))])
        answer = client_for(ben).post("/datasets/new/", data)

        version = DatasetVersion.objects.get()
        assert answer.status_code == 302
        assert answer["Location"] == reverse("dataset_version", args=[*HERE, 1])
        assert version.dataset.description == "Poems."
        assert [entry["name"] for entry in version.source["files"]] == ["a.txt", "b.txt"]
        assert version.produced_by.kind == "dataset_import"
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        assert version.state == "ready"
        assert version.counts["total"]["documents"] == 69

    def test_a_script_is_told_where_the_version_is(self, ana, team, client_for):
        answer = client_for(ana).post(
            "/datasets/new/",
            form(files=[file()]),
            headers={"x-upload": "1", "accept": "application/json"},
        )
        assert answer.status_code == 201
        assert answer.json() == {"location": reverse("dataset_version", args=[*HERE, 1])}

    def test_path_of_the_import_directory(self, ana, team, client_for, settings, tmp_path):
        settings.IMPORT_DIR = tmp_path
        (tmp_path / "books").mkdir()
        (tmp_path / "books" / "one.txt").write_bytes(sample_text())
        data = form(source="path", path="books", seed="7")
        assert client_for(ana).post("/datasets/new/", data).status_code == 302
        version = DatasetVersion.objects.get()
        assert version.source["path"] == "books"
        assert version.seed == 7

    @pytest.mark.parametrize(
        ("changes", "field", "message"),
        [
            ({"name": "No Good"}, "id_name", "lower-case letters"),
            ({"name": ""}, "id_name", "This field is required"),
            ({"team": "legal"}, "id_team", "Select a valid choice"),
            ({"files": []}, "id_files", "Choose at least one file"),
            ({"files": [file("a.pdf")]}, "id_files", "this kind of file is not read"),
            ({"files": [file("a.txt", b"")]}, "id_files", "a.txt is empty"),
            ({"files": [file(), file()]}, "id_files", "Two files are called a.txt"),
            ({"source": "path", "path": "../etc"}, "id_path", "inside the import directory"),
            ({"source": "moon"}, "id_source", "Select a valid choice"),
            ({"validation_fraction": "2"}, "id_validation_fraction", "less than or equal to 0.9"),
            ({"validation_fraction": "nan"}, "id_validation_fraction", "Enter a number"),
            ({"seed": "-1"}, "id_seed", "greater than or equal to 0"),
            ({"text_field": ""}, "id_text_field", "This field is required"),
            ({"description": "x" * 4001}, "id_description", "at most 4000"),
        ],
    )
    def test_errors_stand_beside_the_field_and_nothing_is_made(
        self, ana, team, other_team, client_for, changes, field, message
    ):
        given = {"files": [file()], "description": "Kept words", **changes}
        for upload in given["files"]:
            upload.seek(0)
        answer = client_for(ana).post("/datasets/new/", form(**given))
        page = text(answer)
        assert answer.status_code == 422
        beside = re.search(rf'id="{field}_error">(.*?)</div>', page, re.S)
        assert beside and message in beside[1]
        assert "Kept words" in page or "description" in changes
        assert not Dataset.objects.exists()
        assert not Job.objects.exists()

    def test_a_taken_name_is_said_beside_the_name(self, ana, version, client_for):
        answer = client_for(ana).post("/datasets/new/", form(files=[file()]))
        assert answer.status_code == 422
        beside = re.search(r'id="id_name_error">(.*?)</div>', text(answer), re.S)
        assert beside and "has a dataset called" in beside[1]

    def test_an_upload_without_the_token_of_the_form_is_refused(self, ana, team):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ana, backend="console.access.backends.RoleBackend")
        assert client.post("/datasets/new/", form(files=[file()])).status_code == 403
        token = re.search(
            r'name="csrfmiddlewaretoken" value="(\w+)"', text(client.get("/datasets/new/"))
        )
        data = form(files=[file()], csrfmiddlewaretoken=token[1])
        assert client.post("/datasets/new/", data).status_code == 302

    def test_too_much_is_refused(self, ana, team, client_for, settings):
        settings.UPLOAD_LIMIT_MIB = 1
        data = form(files=[file("a.txt", b"x" * (3 << 20))])
        answer = client_for(ana).post("/datasets/new/", data)
        assert answer.status_code == 413
        assert not Dataset.objects.exists()

    @pytest.mark.parametrize("who", ["eve", "dan"])
    def test_needs_the_role(self, who, request, client_for):
        client = client_for(request.getfixturevalue(who))
        assert client.get("/datasets/new/").status_code == 403
        assert client.post("/datasets/new/", form(files=[file()])).status_code == 403

    def test_needs_a_person(self, client):
        assert client.post("/datasets/new/", form()).status_code == 302

    def test_sending_twice_makes_one(self, ana, version, client_for):
        client = client_for(ana)
        for _time in range(2):
            data = {"source": "upload", "key": "k1", "files": [file("n.txt")], **OPTIONS}
            answer = client.post(reverse("dataset_upload", args=HERE), data)
            assert answer["Location"] == reverse("dataset_version", args=[*HERE, 2])


class TestUpload:
    def test_begins_with_the_options_of_a_version_and_offers_its_files(
        self, ana, team, client_for, tmp_path
    ):
        first = pending_version(ana, team, stored("a.jsonl", b'{"body": "x"}\n'), seed=99)
        run_job(first.produced_by, tmp_path)
        client = client_for(ana)
        at = reverse("dataset_upload", args=HERE) + "?from=1"
        page = text(client.get(at))
        assert 'value="99"' in page
        assert "The files of v1 again" in page
        assert "v1 was not imported" in page

        data = {"source": "again", **OPTIONS, "text_field": "body", "validation_fraction": "0"}
        answer = client.post(at, data)
        assert answer["Location"] == reverse("dataset_version", args=[*HERE, 2])
        second = DatasetVersion.objects.get(number=2)
        run_job(second.produced_by, tmp_path)
        second.refresh_from_db()
        assert second.state == "ready"

    def test_bad_input_stands_beside_the_field(self, ana, version, client_for):
        data = {"source": "upload", **OPTIONS}
        answer = client_for(ana).post(reverse("dataset_upload", args=HERE), data)
        assert answer.status_code == 422
        assert "Choose at least one file" in text(answer)

    def test_is_not_for_viewers_or_outsiders(self, eve, cai, version, client_for):
        at = reverse("dataset_upload", args=HERE)
        assert client_for(eve).get(at).status_code == 403
        assert client_for(cai).get(at).status_code == 404
        assert client_for(cai).post(at, {"files": [file()]}).status_code == 404


class TestDataset:
    @pytest.mark.parametrize("who", ["ana", "ben", "dan", "eve", "root"])
    def test_every_role_reads_it(self, who, version, request, client_for):
        page = text(client_for(request.getfixturevalue(who)).get("/datasets/research/texts/"))
        assert "v1" in page
        assert "54 train, 6 validation" in page
        assert version.digest[:12] in page
        may = who in {"ana", "ben", "root"}
        assert (reverse("dataset_upload", args=HERE) in page) == may

    def test_outsiders_do_not(self, cai, version, client_for):
        assert client_for(cai).get("/datasets/research/texts/").status_code == 404
        assert client_for(cai).get("/datasets/research/texts/edit/").status_code == 404

    def test_names_what_was_trained_on_it(self, ana, version, client_for):
        model = Model.objects.create(team=version.dataset.team, name="poet")
        ModelVersion.objects.create(
            model=model, number=1, dataset_version=version, state="ready", ready_at=now()
        )
        assert "poet v1" in text(client_for(ana).get("/datasets/research/texts/"))
        used = text(client_for(ana).get(reverse("dataset_version_used", args=[*HERE, 1])))
        assert "poet v1" in used

    def test_description_is_changed(self, ben, eve, version, client_for):
        at = reverse("dataset_edit", args=HERE)
        assert client_for(ben).post(at, {"description": "Old\nletters"}).status_code == 302
        page = text(client_for(ben).get("/datasets/research/texts/"))
        assert "Old<br>letters" in page
        answer = client_for(ben).post(at, {"description": "bad\x07"})
        assert answer.status_code == 422
        assert client_for(eve).get(at).status_code == 403


class TestVersion:
    @pytest.mark.parametrize("tab", TABS)
    @pytest.mark.parametrize("who", ["ana", "eve"])
    def test_every_tab_for_each_role(self, tab, who, version, request, client_for):
        client = client_for(request.getfixturevalue(who))
        answer = client.get(reverse(tab, args=[*HERE, 1]))
        assert answer.status_code == 200
        assert version.digest in text(answer)

    @pytest.mark.parametrize("tab", TABS)
    def test_outsiders_and_wrong_numbers_get_404(self, tab, ana, cai, version, client_for):
        assert client_for(cai).get(reverse(tab, args=[*HERE, 1])).status_code == 404
        assert client_for(ana).get(reverse(tab, args=[*HERE, 2])).status_code == 404

    def test_preview_comes_in_pages_of_either_split(self, ana, version, client_for):
        client, at = client_for(ana), reverse("dataset_version", args=[*HERE, 1])
        assert text(client.get(at)).count('class="docs-text"') == 25
        last = text(client.get(f"{at}?page=3"))
        assert last.count('class="docs-text"') == 4
        assert "51 to 54 of 54" in last
        assert text(client.get(f"{at}?split=validation")).count('class="docs-text"') == 6
        assert client.get(f"{at}?split=../x&page=-3").status_code == 200

    def test_a_long_document_is_cut_and_can_be_read_whole(self, ana, team, client_for, tmp_path):
        long = "word " * 400 + "<script>end"
        version = pending_version(
            ana, team, stored("a.txt", long.encode()), document="file", validation_fraction=0
        )
        run_job(version.produced_by, tmp_path)
        client = client_for(ana)
        page = text(client.get(reverse("dataset_version", args=[*HERE, 1])))
        assert "&lt;script&gt;end" not in page
        assert "Show all" in page
        at = reverse("dataset_document", args=[*HERE, 1, "train", 0])
        assert "&lt;script&gt;end" in text(client.get(at))
        part = text(client.get(at, headers={"hx-request": "true"}))
        assert "&lt;script&gt;end" in part
        assert "<html" not in part
        raw = client.get(reverse("dataset_document_file", args=[*HERE, 1, "train", 0]))
        assert raw["Content-Type"].startswith("text/plain")
        assert text(raw).strip() == long
        held_out = client.get(reverse("dataset_version", args=[*HERE, 1]) + "?split=validation")
        assert "Nothing is held out" in text(held_out)

    @pytest.mark.parametrize(("split", "index"), [("train", 54), ("moon", 0)])
    def test_documents_that_do_not_exist(self, ana, cai, version, client_for, split, index):
        at = reverse("dataset_document", args=[*HERE, 1, split, index])
        assert client_for(ana).get(at).status_code == 404
        real = reverse("dataset_document", args=[*HERE, 1, "train", 0])
        assert client_for(cai).get(real).status_code == 404
        assert client_for(cai).get(real[:-1] + ".txt").status_code == 404

    def test_statistics_count_every_document(self, ana, version, client_for):
        page = text(client_for(ana).get(reverse("dataset_version_statistics", args=[*HERE, 1])))
        assert "All documents are counted." in page
        assert "90%" in page
        counted = re.findall(r'<td class="num">(\d+)</td></tr>', page)
        assert sum(map(int, counted)) == 60

    def test_source_names_files_options_and_job(self, ana, version, client_for):
        page = text(client_for(ana).get(reverse("dataset_version_source", args=[*HERE, 1])))
        assert version.source["files"][0]["sha256"] in page
        assert "train/00000.jsonl" in page
        assert "Automatic" in page
        assert f"/jobs/{version.produced_by_id}/" in page

    def test_while_it_is_imported_the_page_follows_the_job(self, ana, team, client_for):
        version = pending_version(ana, team, stored("a.txt", sample_text()))
        page = text(client_for(ana).get(reverse("dataset_version", args=[*HERE, 1])))
        assert f"dataset.{version.dataset_id} job.{version.produced_by_id}" in page
        assert "Waiting to run" in page
        assert "a.txt" in page
        at = reverse("dataset_version_again", args=[*HERE, 1])
        assert client_for(ana).post(at).status_code == 302
        assert DatasetVersion.objects.count() == 1

    def test_a_failed_import_says_where_and_offers_another_try(
        self, ana, eve, team, client_for, tmp_path
    ):
        bad = b'{"text": "fine"}\n{"text": broken}\n'
        version = pending_version(ana, team, stored("a.jsonl", bad))
        run_job(version.produced_by, tmp_path)
        at = reverse("dataset_version", args=[*HERE, 1])
        page = text(client_for(ana).get(at))
        assert "a.jsonl line 2" in page
        assert reverse("dataset_upload", args=HERE) + "?from=1" in page
        again = reverse("dataset_version_again", args=[*HERE, 1])
        assert again not in text(client_for(eve).get(at))
        assert client_for(eve).post(again).status_code == 403
        answer = client_for(ana).post(again)
        assert answer["Location"] == reverse("dataset_version", args=[*HERE, 2])
