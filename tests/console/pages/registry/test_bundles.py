"""The pages of a version that moves: the button, the claim of its origin, and what is refused."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_app.registry.models import ModelVersion
from tests.factories.bundles import bundle_bytes, with_manifest
from tests.fakes.jobs import run_job
from tests.workers.importing.test_bundles import disk, imported, inbox, poet

__all__ = ["disk", "imported", "inbox", "poet"]
# Fixtures are imported and then named as arguments.
pytestmark = pytest.mark.django_db
FORM = {"model": "new", "team": "research", "name": "copy", "source": "upload"}
COPY = "/models/research/copy/versions/1/"


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def upload(data):
    return SimpleUploadedFile("poet-v1.slipway.tar", data, "application/x-tar")


class TestPages:
    def test_the_button_gives_the_bundle(self, eve, poet, client_for):
        client, data = client_for(eve), bundle_bytes(poet)

        page = text(client.get("/models/research/poet/versions/1/?tab=files"))

        assert "Download as a bundle" in page and "Bundle without its base" not in page
        answer = client.get("/models/research/poet/versions/1/bundle/")
        assert b"".join(answer.streaming_content) == data

    def test_what_the_origin_says_is_shown_as_its_claim(self, ana, poet, client_for, tmp_path):
        def change(manifest):
            metrics = {"perplexity": 3.25, "bits_per_byte": "<b>"}
            row = {"dataset": "texts", "number": 2, "split": "validation", "metrics": metrics}
            manifest["evaluations"] = [row, {"metrics": 5, "dataset": {"a": []}}]
            manifest["record"] |= {
                "dataset": {"name": "texts", "number": 2}, "config": "nothing", "scan": [],
                "provenance": None, "ready_at": "2026-99-99T10:00:00",
            }  # fmt: skip

        client = client_for(ana)
        data = with_manifest(bundle_bytes(poet), change)
        assert client.post("/models/import/", {**FORM, "files": upload(data)}).status_code == 302
        run_job(ModelVersion.objects.latest("pk").produced_by, tmp_path)

        page = text(client.get(f"{COPY}?tab=provenance"))

        assert "Told by its origin" in page and "Nothing of it was measured" in page
        assert "bundle of poet v1" in page and poet.digest in page
        assert "texts v2" in page and "3.25" in page and "&lt;b&gt;" in page
        assert "3.25" not in text(client.get(f"{COPY}?tab=evaluations"))
        assert "3.25" not in text(client.get(f"{COPY}?tab=card"))

    def test_a_bad_list_is_told_beside_the_field(self, ana, poet, client_for):
        data = with_manifest(bundle_bytes(poet), lambda m: m.update(schema_version=2))

        answer = client_for(ana).post("/models/import/", {**FORM, "files": upload(data)})

        assert answer.status_code == 422
        assert "A bundle of a newer kind" in text(answer) and "Update this console" in text(answer)


class TestApi:
    def test_the_rule_is_the_code_of_the_answer(self, ana, poet, api_for):
        data = with_manifest(bundle_bytes(poet), lambda m: m.update(schema_version=2))

        given = {"team": "research", "model": "poet", "file": upload(data)}
        answer = api_for(ana).post("/api/v1/imports", given, format="multipart")

        assert answer.status_code == 422 and answer.json()["code"] == "bundle.schema"
        assert "Update this console" in answer.json()["errors"]["files"][0]

    def test_the_origin_is_marked_as_a_claim(self, ana, poet, api_for, tmp_path):
        given = {"team": "research", "model": "poet", "file": upload(bundle_bytes(poet))}
        api = api_for(ana)
        made = api.post("/api/v1/imports", given, format="multipart").json()
        run_job(ModelVersion.objects.get(pk=made["id"]).produced_by, tmp_path)

        found = api.get(made["provenance_url"]).json()

        assert found["origin"]["claim"] is True
        assert found["origin"]["record"]["facts"] == poet.facts
        assert found["source"]["same_as"] == "poet v1"
        assert not [item for item in found["items"] if "origin" in item["name"]]
