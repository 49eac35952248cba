"""From an answer to the source files in one request, and from a file to what came of it."""

import uuid

import pytest

from models_app.core.clock import now
from models_app.curation.services import dataset_prepare
from models_app.deployments.models import RequestRecord
from models_app.registry.services import (
    conversion_start,
    evaluation_start,
    model_create,
    training_start,
)
from tests.factories.data import ready_version
from tests.factories.deployments import deployment_of, revision_of
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def chain(ana, team, tmp_path):
    """A file, its dataset version, a version, its evaluation, a revision and an answer."""
    data = ready_version(ana, team, tmp_path)
    model = model_create(actor=ana, team=team, name="poet")
    version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=TINY)
    run_job(version.produced_by, tmp_path)
    version.refresh_from_db()
    run_job(evaluation_start(actor=ana, version=version, dataset_version=data), tmp_path)
    revision = revision_of(ana, deployment_of(ana, team), version=version)
    answer = RequestRecord.objects.create(
        request_id="req-1", at=now(), deployment=revision.deployment, revision=revision,
        endpoint="chat", status=200, total_ms=1.0,
    )  # fmt: skip
    return {"data": data, "version": version, "revision": revision, "answer": answer}


def ids(answer):
    assert answer.status_code == 200, answer.json()
    return {node["id"] for node in answer.json()["nodes"]}


class TestUpwards:
    def test_an_answer_leads_to_the_source_files_in_one_request(self, ben, chain, api_for):
        answer = api_for(ben).get(f"{V1}/lineage?node=request:req-1")

        data, version = chain["data"], chain["version"]
        sha256 = data.source["files"][0]["sha256"]
        assert ids(answer) == {
            "request:req-1", f"revision:{chain['revision'].pk}", f"model_version:{version.pk}",
            f"job:{version.produced_by_id}", f"dataset_version:{data.pk}",
            f"job:{data.produced_by_id}", f"file:{sha256}",
        }  # fmt: skip
        edges = {(edge["from"], edge["to"]) for edge in answer.json()["edges"]}
        assert (f"file:{sha256}", f"job:{data.produced_by_id}") in edges
        assert (f"model_version:{version.pk}", f"revision:{chain['revision'].pk}") in edges
        assert len(edges) == 6

    def test_depth_bounds_it(self, ben, chain, api_for):
        answer = api_for(ben).get(f"{V1}/lineage?node=request:req-1&depth=2")

        assert len(ids(answer)) == 3


class TestDownwards:
    def test_a_file_leads_to_all_that_was_made_of_it(self, ben, chain, api_for):
        sha256 = chain["data"].source["files"][0]["sha256"]

        found = ids(api_for(ben).get(f"{V1}/lineage?node=file:{sha256}"))

        version = chain["version"]
        assert {f"model_version:{version.pk}", f"revision:{chain['revision'].pk}",
                f"evaluation:{version.evaluations.get().pk}"} <= found  # fmt: skip

    def test_a_version_shows_both_ways(self, ben, chain, api_for):
        found = ids(api_for(ben).get(f"{V1}/lineage?node=model_version:{chain['version'].pk}"))

        assert {name.split(":")[0] for name in found} == {
            "file", "dataset_version", "job", "model_version", "evaluation", "revision",
        }  # fmt: skip


class TestDetours:
    def test_prepared_data_and_converted_versions_are_on_the_way(
        self, ana, ben, team, chain, tmp_path, api_for
    ):
        prepared = dataset_prepare(actor=ana, parent=chain["data"], spec={})
        run_job(prepared.produced_by, tmp_path)
        small = conversion_start(actor=ana, version=chain["version"], format="int8").output

        sha256 = chain["data"].source["files"][0]["sha256"]
        below = ids(api_for(ben).get(f"{V1}/lineage?node=file:{sha256}"))
        assert {f"dataset_version:{prepared.pk}", f"model_version:{small.pk}"} <= below
        above = ids(api_for(ben).get(f"{V1}/lineage?node=dataset_version:{prepared.pk}"))
        assert {f"dataset_version:{chain['data'].pk}", f"file:{sha256}"} <= above
        above = ids(api_for(ben).get(f"{V1}/lineage?node=model_version:{small.pk}"))
        assert {f"model_version:{chain['version'].pk}", f"file:{sha256}"} <= above


class TestOpenLineage:
    def test_tells_each_run_with_what_it_read_and_wrote(self, ben, chain, api_for):
        url = f"{V1}/lineage?node=model_version:{chain['version'].pk}&format=openlineage"

        events = api_for(ben).get(url).json()

        by_type = {event["job"]["facets"]["jobType"]["jobType"]: event for event in events}
        assert set(by_type) == {"DATASET_IMPORT", "TRAIN", "EVALUATE", "SERVE"}
        train = by_type["TRAIN"]
        assert train["eventType"] == "COMPLETE"
        assert uuid.UUID(train["run"]["runId"]).version == 5
        assert train["schemaURL"].startswith("https://openlineage.io/spec/2-0-2/OpenLineage.json")
        (read,), (written,) = train["inputs"], train["outputs"]
        assert read["name"] == "research/dataset/texts"
        digest = read["facets"]["version"]["datasetVersion"]
        assert digest == f"sha256:{chain['data'].digest}"
        assert written["name"] == "research/model/poet"
        assert [row["name"] for row in by_type["SERVE"]["inputs"]] == ["research/model/poet"]
        again = api_for(ben).get(url).json()
        assert [event["run"] for event in again] == [event["run"] for event in events]


class TestWhoSees:
    def test_outsiders_learn_nothing(self, cai, chain, api_for):
        data, version = chain["data"], chain["version"]
        sha256 = data.source["files"][0]["sha256"]
        nodes = ["request:req-1", f"file:{sha256}", f"dataset_version:{data.pk}",
                 f"model_version:{version.pk}", f"job:{version.produced_by_id}",
                 f"revision:{chain['revision'].pk}"]  # fmt: skip

        assert_hidden(api_for(cai), [f"{V1}/lineage?node={node}" for node in nodes])
        assert_needs_sign_in([f"{V1}/lineage?node={nodes[0]}"])

    def test_a_shared_file_shows_each_team_its_own(self, cai, other_team, chain, api_for, tmp_path):
        own = ready_version(cai, other_team, tmp_path)
        sha256 = own.source["files"][0]["sha256"]
        assert sha256 == chain["data"].source["files"][0]["sha256"]

        found = ids(api_for(cai).get(f"{V1}/lineage?node=file:{sha256}"))

        assert found == {f"file:{sha256}", f"job:{own.produced_by_id}", f"dataset_version:{own.pk}"}

    @pytest.mark.parametrize(
        ("query", "field"),
        [("node=", "node"), ("node=planet:1", "node"), ("node=job:x", "node"), ("", "node"),
         ("node=job:1&depth=99", "depth"), ("node=job:1&format=xml", "format")],
    )  # fmt: skip
    def test_bad_names_are_refused(self, ben, api_for, query, field):
        answer = api_for(ben).get(f"{V1}/lineage?{query}")

        assert answer.status_code == 422
        assert field in answer.json()["errors"]
