"""The pages of imports and scans: four sources, problems beside their fields, a clear verdict."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_app.jobs.models import Job
from models_app.registry.importing import PathSource
from models_app.registry.models import Model, ModelVersion
from models_app.registry.scan_rules import RULESET
from models_app.registry.services import (
    model_create,
    run_begin,
    version_import,
    version_register,
)
from tests.factories.imports import change_json, model_folder
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.jobs.test_model_import import inbox, zipped

__all__ = ["inbox"]
# Fixtures are imported and then named as arguments.
pytestmark = pytest.mark.django_db
PAGE = "/models/import/"
V1 = "/models/research/poet/versions/1/"
FORM = {"model": "new", "team": "research", "name": "poet", "source": "path", "path": "llama"}


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def finish(tmp_path):
    version = ModelVersion.objects.latest("pk")
    run_job(version.produced_by, tmp_path)


class TestForm:
    def test_a_folder_becomes_the_first_version_of_a_new_model(
        self, ana, client_for, inbox, tmp_path
    ):
        model_folder(inbox / "llama")
        client = client_for(ana)

        answer = client.post(PAGE, FORM)
        assert answer["Location"] == V1
        assert "Being imported" in text(client.get(V1))
        finish(tmp_path)

        page = text(client.get(V1))
        assert "Nothing found" in page and "Parameters" in page
        assert "No finding in any file" in text(client.get(f"{V1}?tab=scan"))
        assert "llama" in text(client.get(f"{V1}?tab=provenance"))

    def test_an_archive_is_taken(self, ana, client_for, inbox):
        file = SimpleUploadedFile("m.zip", zipped([("config.json", b"{}")]))

        answer = client_for(ana).post(PAGE, {**FORM, "source": "upload", "files": file})

        assert answer.status_code == 302
        assert ModelVersion.objects.get().source["files"][0]["name"] == "m.zip"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"path": "nowhere"}, "path"),
            ({"name": "Not A Name"}, "name"),
            ({"name": ""}, "name"),
            ({"source": "upload"}, "files"),
            ({"source": "cache", "revision": "main"}, "revision"),
            ({"source": "hub", "url": "", "repo": "a/b"}, "url"),
            ({"source": "other"}, "source"),
            ({"base_version": "99"}, "base_version"),
        ],
    )
    def test_problems_stand_beside_their_field(self, ana, client_for, inbox, changes, field):
        model_folder(inbox / "llama")

        answer = client_for(ana).post(PAGE, {**FORM, **changes})

        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in text(answer)
        assert not Model.objects.exists() and not Job.objects.exists()

    def test_a_taken_name_is_told_and_the_same_form_twice_is_one_import(
        self, ana, client_for, inbox
    ):
        model_folder(inbox / "llama")
        client = client_for(ana)

        for _ in range(2):
            assert client.post(PAGE, {**FORM, "key": "k1"}).status_code == 302
        again = client.post(PAGE, {**FORM, "key": "k2"})

        assert Job.objects.count() == 1
        assert again.status_code == 422 and "already" in text(again)

    def test_a_failed_one_shows_its_scan_and_offers_its_source_again(
        self, ana, client_for, inbox, tmp_path
    ):
        change_json(model_folder(inbox / "llama") / "config.json", auto_map={"AutoModel": "a.B"})
        client = client_for(ana)
        client.post(PAGE, {**FORM, "leave_out": "*.bin"})
        finish(tmp_path)

        assert "auto_map" in text(client.get(V1))
        scan = text(client.get(f"{V1}?tab=scan"))
        assert "the version did not come to be" in scan and "remove the entry" in scan
        again = text(client.get(f"{PAGE}?from={ModelVersion.objects.get().pk}"))
        assert 'value="llama"' in again and 'value="*.bin"' in again


class TestScan:
    @pytest.fixture
    def version(self, ana, team, inbox, tmp_path):
        model_folder(inbox / "llama")
        model = model_create(actor=ana, team=team, name="poet")
        version = version_import(actor=ana, model=model, source=PathSource(path="llama"))
        run_job(version.produced_by, tmp_path)
        return version

    def test_is_done_again_by_hand(self, ana, version, client_for, tmp_path):
        client = client_for(ana)

        client.post(f"{V1}scan/")
        job = Job.objects.get(kind="scan")
        assert run_job(job, tmp_path).state == "succeeded"

        assert f"/jobs/{job.pk}/" in text(client.get(f"{V1}?tab=scan"))

    def test_older_rules_are_told(self, ana, version, client_for):
        version.scans.update(ruleset=0)

        assert f"There are newer rules ({RULESET})" in text(client_for(ana).get(f"{V1}?tab=scan"))

    def test_viewers_read_and_outsiders_learn_nothing(self, eve, cai, version, client_for):
        viewer = client_for(eve)

        assert viewer.get(f"{V1}?tab=scan").status_code == 200
        assert viewer.post(f"{V1}scan/").status_code == 403
        assert viewer.get(PAGE).status_code == 403
        assert_hidden(client_for(cai), [f"{V1}?tab=scan"], [f"{V1}scan/"])
        assert_needs_sign_in([PAGE], [f"{V1}scan/"])


class TestApi:
    def test_imports_and_shows_the_scan(self, ana, team, api_for, inbox, tmp_path):
        model_folder(inbox / "llama")
        model_create(actor=ana, team=team, name="poet")
        api = api_for(ana)
        body = {"team": "research", "model": "poet", "path": "llama", "notes": "from outside"}

        made = api.post("/api/v1/imports", body, format="json")
        assert made.status_code == 202 and made.data["state"] == "pending"
        url = f"/api/v1/model-versions/{made.data['id']}"
        assert api.get(f"{url}/scan").status_code == 404
        finish(tmp_path)

        assert api.get(url).data["source"]["path"] == "llama"
        scan = api.get(f"{url}/scan").data
        assert (scan["verdict"], scan["ruleset"]) == ("passed", RULESET)
        assert scan["report"]["findings"] == []
        assert api.post(f"{url}/scan").status_code == 202
        provenance = api.get(f"{url}/provenance").data
        assert provenance["scan"]["verdict"] == "passed"
        assert provenance["source"]["files"]["config.json"]["sha256"]

    def test_takes_an_archive(self, ana, team, api_for):
        model_create(actor=ana, team=team, name="poet")
        file = SimpleUploadedFile("m.zip", zipped([("config.json", b"{}")]))
        body = {"team": "research", "model": "poet", "file": file, "leave_out": "*.bin *.h5"}

        made = api_for(ana).post("/api/v1/imports", body, format="multipart")

        assert made.status_code == 202
        assert made.data["source"]["leave_out"] == ["*.bin", "*.h5"]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"path": None}, "path"),
            ({"url": "https://x"}, "path"),
            ({"path": "../.."}, "path"),
            ({"token": "t"}, "token"),
            ({"model": "other"}, "model"),
            ({"base_version": 99}, "base_version"),
            ({"skip_scan": True}, "skip_scan"),
            ({"trust_remote_code": True}, "trust_remote_code"),
            ({"leave_out": ["x"] * 60}, "leave_out"),
        ],
    )
    def test_nothing_turns_the_scan_off_and_bad_fields_are_named(
        self, ana, team, api_for, inbox, changes, field
    ):
        model_folder(inbox / "llama")
        model_create(actor=ana, team=team, name="poet")
        body = {"team": "research", "model": "poet", "path": "llama", **changes}
        body = {name: value for name, value in body.items() if value is not None}

        answer = api_for(ana).post("/api/v1/imports", body, format="json")

        assert answer.status_code == 422 and field in answer.data["errors"]
        assert not Job.objects.exists()

    def test_other_teams_learn_nothing(self, ana, cai, eve, team, api_for, inbox, tmp_path):
        model_folder(inbox / "llama")
        model = model_create(actor=ana, team=team, name="poet")
        version = version_import(actor=ana, model=model, source=PathSource(path="llama"))
        run_job(version.produced_by, tmp_path)
        url = f"/api/v1/model-versions/{version.pk}/scan"

        assert api_for(cai).get(url).status_code == 404
        assert api_for(cai).post(url).status_code == 404
        assert api_for(eve).post(url).status_code == 403
        body = {"team": "research", "model": "poet", "path": "llama"}
        assert api_for(eve).post("/api/v1/imports", body, format="json").status_code == 403
        assert api_for(cai).post("/api/v1/imports", body, format="json").status_code == 422


class TestFilesOfARunElsewhere:
    @pytest.fixture
    def waiting(self, ben, team):
        model = model_create(actor=ben, team=team, name="poet")
        run = run_begin(actor=ben, team=team, name="laptop", params={"lr": 0.1})
        return version_register(actor=ben, model=model, run=run)

    def test_the_page_says_what_is_missing_and_how_it_comes(
        self, ana, eve, waiting, inbox, client_for, tmp_path
    ):
        model_folder(inbox / "llama")
        client = client_for(ana)
        form = f"{PAGE}?version={waiting.pk}"
        page = text(client.get(V1))
        assert "Waiting for its files" in page and "laptop" in page and "Without files" in page
        assert "<code>tokenizer.json</code>" in page and 'revision="v1"' in page
        assert f'href="{form}"' in page and "-F version=v1" in page
        assert form not in text(client_for(eve).get(V1))
        for tab in ("evaluations", "config", "files", "scan", "provenance", "lineage", "card",
                    "reproduce"):  # fmt: skip
            assert client.get(f"{V1}?tab={tab}").status_code == 200
        assert "Files for poet v1" in text(client.get(form))

        answer = client.post(form, {"source": "path", "path": "llama"})
        assert (answer.status_code, answer["Location"]) == (302, V1)
        assert "Being imported" in text(client.get(V1))
        second = client.post(form, {"source": "path", "path": "llama"})
        assert (second.status_code, "brings the files" in text(second)) == (422, True)
        waiting.refresh_from_db()
        run_job(waiting.filled_by, tmp_path)

        for tab in ("evaluations", "config", "files", "scan", "lineage", "card", "reproduce"):
            assert client.get(f"{V1}?tab={tab}").status_code == 200
        page = text(client.get(f"{V1}?tab=provenance&verify=1"))
        assert "lr=0.1" in page and "Import poet v1" in page
        assert "Waiting for its files" not in text(client.get(V1))
        assert "poet v1" in text(client.get(f"/jobs/{waiting.filled_by_id}/"))
        assert client.get(form).status_code == 409

    def test_a_refused_import_is_told_and_it_can_be_given_up(
        self, ana, eve, waiting, inbox, client_for, tmp_path
    ):
        change_json(model_folder(inbox / "llama") / "config.json", vocab_size=17)
        client = client_for(ana)
        client.post(f"{PAGE}?version={waiting.pk}", {"source": "path", "path": "llama"})
        waiting.refresh_from_db()
        run_job(waiting.filled_by, tmp_path)

        assert "The last files that came were not taken" in text(client.get(V1))
        assert client_for(eve).post(f"{V1}give-up/", {"reason": "x"}).status_code == 403
        client.post(f"{V1}give-up/", {"reason": "The disk is gone"})
        page = text(client.get(V1))
        assert "Its files never came" in page and "The disk is gone" in page
