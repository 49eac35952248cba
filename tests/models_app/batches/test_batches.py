"""Batches: what their files must be, who may begin them, what they are asked of."""

import pytest

from models_app.batches.models import Batch
from models_app.batches.rows import rows_read
from models_app.batches.selectors import batch_counts, batch_status, target_named
from models_app.batches.services import batch_of_rows, batch_start
from models_app.core.errors import FieldError, PermissionDenied
from models_app.jobs.models import Job
from models_app.registry.models import ModelVersion
from tests.console.finetuning.conftest import Asking, error
from tests.factories.access import MembershipFactory
from tests.factories.batches import CHAT, batch_of, request_line, requests_file
from tests.factories.data import ready_version as ready_data
from tests.factories.deployments import ready_version, serving

pytestmark = pytest.mark.django_db
V1 = "/api/v1/batch-inferences"
TEMPLATE = {"messages": [{"role": "user", "content": "{text}"}]}


class TestRows:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (b"{", "invalid_json_line"),
            (b"[]", "invalid_json_line"),
            ({"custom_id": ""}, "invalid_custom_id"),
            ({"custom_id": 3}, "invalid_custom_id"),
            ({"custom_id": "q-0"}, "duplicate_custom_id"),
            ({"method": "GET"}, "invalid_method"),
            ({"url": "/v1/completions"}, "invalid_url"),
            ({"body": None}, "invalid_body"),
            ({"body": {}}, "missing_model"),
            ({"body": {"model": "other/one"}}, "mismatched_model"),
            ({"body": {"model": "research/poet:v1", "stream": True}}, "invalid_body"),
        ],
    )
    def test_a_bad_line_makes_a_batch_that_failed_and_says_which(self, ana, team, change, code):
        bad = change if isinstance(change, bytes) else {**request_line(1), **change}

        batch = batch_of(ana, team, [request_line(0), b"", bad])

        assert (batch_status(batch), batch.job) == ("failed", None)
        assert [(error["line"], error["code"]) for error in batch.errors] == [(3, code)]
        assert batch.errors[0]["message"].endswith(".")

    def test_an_empty_file_and_too_many_problems(self):
        assert rows_read([b"\n"], CHAT).problems[0]["code"] == "empty_file"
        assert len(rows_read([b"{"] * 500, CHAT).problems) == 100


class TestTarget:
    def test_a_deployment_means_the_revision_that_serves(self, ana, team):
        deployment = serving(ana, team)

        found = target_named(actor=ana, name="research/writer")

        assert found.revision == deployment.active_revision
        assert found.version == deployment.active_revision.model_version

    @pytest.mark.parametrize("name", ["poet", "research/none", "research/poet:v9", 7, ""])
    def test_what_is_not_there_and_what_is_not_yours_look_the_same(self, ana, team, name):
        ready_version(team)
        with pytest.raises(FieldError) as refused:
            target_named(actor=ana, name=name)
        assert refused.value.code == "model_not_found"


class TestStart:
    def test_needs_the_right_and_the_right_kind_of_file(self, ana, team):
        ready_version(team)
        eva = MembershipFactory(team=team, role="viewer").user
        with pytest.raises(PermissionDenied):
            batch_of(eva, team, [request_line(0)])
        with pytest.raises(FieldError, match="purpose"):
            file = requests_file(ana, team, [request_line(0)])
            type(file).objects.update(purpose="batch_output")
            file.refresh_from_db()
            batch_start(actor=ana, input_file=file, endpoint=CHAT)
        assert not Batch.objects.exists()

    def test_a_foreign_model_is_not_found(self, ana, team, other_team):
        ready_version(other_team, name="secret")
        with pytest.raises(FieldError) as refused:
            batch_of(ana, team, [request_line(0, model=f"{other_team.slug}/secret:v1")])
        assert refused.value.code == "model_not_found"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"split": "test"}, "split"),
            ({"model": "research/none"}, "model"),
            ({"template": {"messages": []}}, "template.messages"),
            ({"template": {}}, "template.messages"),
            ({"template": {**TEMPLATE, "stream": True}}, "template.stream"),
            ({"endpoint": "/v1/images"}, "endpoint"),
            ({"answers_dataset": "No Good"}, "answers_dataset"),
        ],
    )
    def test_of_rows_names_what_is_wrong(self, ana, team, tmp_path, changes, field):
        ready_version(team)
        data = ready_data(ana, team, tmp_path)
        asked = {"split": "train", "model": "research/poet:v1", "template": TEMPLATE, **changes}
        with pytest.raises(FieldError) as refused:
            batch_of_rows(actor=ana, dataset_version=data, **asked)
        assert field in refused.value.errors
        assert not Batch.objects.exists()


class TestApi:
    def test_begins_shows_and_stops(self, ana, cai, team, tmp_path, api_for):
        ready_version(team)
        data = ready_data(ana, team, tmp_path)
        asked = {
            "dataset_version": data.pk, "split": "train", "model": "research/poet:v1",
            "template": TEMPLATE,
        }  # fmt: skip

        made = api_for(ana).post(V1, asked, format="json")

        assert made.status_code == 201, made.json()
        batch = Batch.objects.get()
        assert made.json()["counts"] == batch_counts(batch)
        assert api_for(ana).get(V1).json()["results"][0]["id"] == batch.key
        assert api_for(cai).get(made.json()["url"]).status_code == 404
        stopped = api_for(ana).post(f"{V1}/{batch.key}/cancel")
        assert stopped.json()["status"] == "cancelling"

    def test_names_the_field(self, ana, team, api_for):
        answer = api_for(ana).post(V1, {"dataset_version": 1, "oops": 1}, format="json")
        assert answer.status_code == 422
        assert {"oops", "model", "template"} <= set(answer.json()["errors"])


class TestRepeated:
    """The header Idempotency-Key, at both addresses."""

    @pytest.fixture
    def asked(self, ana, team, tmp_path):
        ready_version(team)
        return {
            "dataset_version": ready_data(ana, team, tmp_path).pk, "split": "train",
            "model": "research/poet:v1", "template": TEMPLATE,
        }  # fmt: skip

    def post(self, client, body, key="nightly-7"):
        return client.post(V1, body, format="json", headers={"idempotency-key": key})

    def test_gives_the_batch_that_it_made(self, ana, asked, api_for):
        first, second = (self.post(api_for(ana), asked) for _ in range(2))

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] == second.json()["id"] == Batch.objects.get().key
        assert Job.objects.filter(kind="batch_infer").count() == 1
        assert self.post(api_for(ana), asked, "nightly-8").json()["id"] != first.json()["id"]

    def test_even_where_it_could_not_begin_any_more(self, ana, team, asked, api_for):
        first = self.post(api_for(ana), asked).json()
        ModelVersion.objects.update(state="quarantined")

        assert self.post(api_for(ana), asked).json()["id"] == first["id"]
        assert self.post(api_for(ana), asked, "other").status_code == 422

    @pytest.mark.parametrize("change", [{"split": "validation"}, {"priority": 5}])
    def test_with_something_else_it_is_a_conflict(self, ana, asked, api_for, change):
        first = self.post(api_for(ana), asked).json()

        answer = self.post(api_for(ana), asked | change)

        assert answer.status_code == 409
        assert answer.json()["field"] == "Idempotency-Key"
        assert answer.json()["batch"] == first["id"]
        assert Batch.objects.count() == 1

    def test_cannot_be_kept(self, ana, asked, api_for):
        answer = self.post(api_for(ana), asked, "k" * 201)
        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.json()["errors"]

    @pytest.mark.parametrize("rows", [[request_line(0)], [b"{"]])
    def test_of_openais_clients(self, ana, team, rows):
        ready_version(team)
        client, file = Asking(ana), requests_file(ana, team, rows)
        body = {"input_file_id": file.key, "endpoint": CHAT, "completion_window": "24h"}

        first, second = (client.post("batches", body, idempotency_key="a") for _ in range(2))
        other = client.post("batches", {**body, "metadata": {"a": "b"}}, idempotency_key="a")

        assert first.status_code == 200, first.content
        assert first.json() == second.json()
        assert first.json()["status"] == ("failed" if rows == [b"{"] else "validating")
        assert error(other, 409)["code"] == "idempotency_key_reused"
        assert error(other, 409)["param"] == "Idempotency-Key"
        assert other.headers["x-should-retry"] == "false"
        assert Batch.objects.count() == 1
