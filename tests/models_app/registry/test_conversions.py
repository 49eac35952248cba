"""Conversions through the API and the pages: started, read, and hidden from others."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import pytest

from models_app.registry.models import Conversion
from models_app.registry.services import conversion_start
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.jobs.test_convert import node, stored, version
from tests.workers.lm.formats.conftest import models

pytestmark = pytest.mark.django_db
URL = "/api/v1/conversions"


class TestApi:
    def test_starts_lists_and_reports(self, ben, version, api_for, tmp_path):
        api = api_for(ben)
        body = {"version": version.pk, "format": "int8", "gate": {"top1_agreement": 0.5}}

        made = api.post(URL, body, headers={"Idempotency-Key": "k"})
        again = api.post(URL, body, headers={"Idempotency-Key": "k"})
        run_job(Conversion.objects.get().job, tmp_path)
        read = api.get(made.json()["url"]).json()
        listed = api.get(f"{URL}?version={version.pk}&target=int8").json()["results"]

        assert (made.status_code, again.json()["id"]) == (202, made.json()["id"])
        assert (made.json()["state"], made.json()["passed"]) == ("pending", None)
        assert (read["state"], read["passed"], read["error"]) == ("ready", True, "")
        assert read["gate"]["top1_agreement"] == {"limit": 0.5, "default": None}
        assert read["report"]["size"]["ratio_fp32"] <= 0.35
        assert [row["id"] for row in listed] == [read["id"]]
        output = api.get(f"/api/v1/model-versions/{read['output']}").json()
        assert (output["format"], output["source_version"]) == ("int8", version.pk)

    def test_names_what_is_there_already(self, ben, version, api_for):
        api = api_for(ben)
        body = {"version": version.pk, "format": "safetensors", "precision": "bf16"}
        first = api.post(URL, body).json()

        answer = api.post(URL, body)

        assert answer.status_code == 409
        assert answer.json()["conversion"] == first["id"]
        assert answer.json()["model_version"] == first["output"]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"format": "coreml"}, "format"),
            ({"precision": "int3"}, "precision"),
            ({"version": 999_999}, "version"),
            ({"dataset_version": 999_999}, "dataset_version"),
            ({"gate": {"top1_agreement": 2}}, "gate.top1_agreement"),
            ({"gate": {"taste": 1}}, "gate.taste"),
            ({"threads": 0}, "threads"),
        ],
    )
    def test_names_bad_fields(self, ben, version, api_for, changes, field):
        body = {"version": version.pk, "format": "int8", **changes}

        answer = api_for(ben).post(URL, body)

        assert answer.status_code == 422
        assert field in answer.json()["errors"]
        assert not Conversion.objects.exists()

    def test_lists_formats_and_what_they_lack(self, eve, node, api_for):
        node.capacity = {"packages": {}}
        node.save()

        rows = {row["name"]: row for row in api_for(eve).get(f"{URL}/formats").json()["formats"]}

        assert rows["int8"]["unavailable"] == ""
        assert "onnxruntime" in rows["onnx"]["unavailable"]
        assert rows["merged"]["takes_adapter"]

    def test_needs_the_role(self, eve, version, api_for):
        answer = api_for(eve).post(URL, {"version": version.pk, "format": "int8"})

        assert answer.status_code == 403


class TestPages:
    def test_a_form_becomes_a_conversion(self, ben, version, client_for):
        page = "/models/research/poet/versions/1/convert/"
        client = client_for(ben)
        form = {"choice": "gguf:q8_0", "max_documents": 5, "threads": 1,
                "gate.perplexity_increase": "0.5"}  # fmt: skip

        answer = client.post(page, form)
        twice = client.post(page, form)

        conversion = Conversion.objects.get()
        assert answer["Location"] == f"/conversions/{conversion.pk}/"
        assert conversion.gate["perplexity_increase"] == {"limit": 0.5, "default": 0.02}
        assert twice.status_code == 422
        assert f"/conversions/{conversion.pk}/" in twice.content.decode()

    def test_a_format_for_other_runtimes_says_so(self, ana, version, client_for, tmp_path):
        conversion = conversion_start(actor=ana, version=version, format="gguf", precision="f16")
        run_job(conversion.job, tmp_path)
        client = client_for(ana)
        page = f"/models/research/poet/versions/{conversion.output.number}/"

        shown = client.get(page).content.decode()
        form = client.get(f"{page}convert/").content.decode()

        assert "/evaluations/new/?version=" not in shown
        assert "/deployments/new/?version=" not in shown
        assert "Parity report" in shown
        assert "nothing is converted" in form

    def test_outsiders_learn_nothing(self, ana, cai, version, client_for, api_for):
        conversion = conversion_start(actor=ana, version=version, format="int8")
        page, form = f"/conversions/{conversion.pk}/", "/models/research/poet/versions/1/convert/"

        assert_hidden(client_for(cai), [page, form], [form])
        assert_needs_sign_in([page, form, URL, f"{URL}/{conversion.pk}"])
        assert api_for(cai).get(f"{URL}/{conversion.pk}").status_code == 404
        assert api_for(cai).get(URL).json()["results"] == []
