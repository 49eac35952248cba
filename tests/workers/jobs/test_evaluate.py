"""The scoring of a version: a result with one row a document, or a refusal that names the field."""

import json

import pytest

from models_app.core.blobs import blob_open
from models_app.core.errors import InvalidInput
from models_app.registry.services import (
    evaluation_start,
    model_create,
    training_start,
    version_quarantine,
)
from tests.factories.data import ready_version
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def version(ana, team, data, tmp_path):
    model = model_create(actor=ana, team=team, name="poet")
    version = training_start(actor=ana, team=team, model=model, dataset_version=data, spec=TINY)
    run_job(version.produced_by, tmp_path)
    version.refresh_from_db()
    return version


class TestEvaluate:
    def test_keeps_the_figures_and_a_score_for_each_document(self, ana, version, data, tmp_path):
        job = evaluation_start(actor=ana, version=version, dataset_version=data)

        job = run_job(job, tmp_path)

        evaluation = version.evaluations.get()
        assert job.state == "succeeded"
        assert job.result["evaluation"] == evaluation.pk
        with blob_open(evaluation.scores_sha256) as stream:
            rows = [json.loads(line) for line in stream]
        assert len(rows) == evaluation.metrics["documents"] == 6
        nats = sum(row["nats"] for row in rows)
        assert nats / evaluation.metrics["tokens"] == pytest.approx(
            evaluation.metrics["nats_per_token"]
        )

    def test_scores_no_more_documents_than_asked(self, ana, version, data, tmp_path):
        job = evaluation_start(
            actor=ana, version=version, dataset_version=data, split="train", max_documents=3
        )

        run_job(job, tmp_path)

        assert version.evaluations.get().metrics["documents"] == 3

    def test_refuses_a_quarantined_version(self, ana, version, data):
        version_quarantine(actor=ana, version=version, reason="Leaks addresses")

        with pytest.raises(InvalidInput) as refused:
            evaluation_start(actor=ana, version=version, dataset_version=data)

        assert "not ready" in refused.value.errors["version"][0]

    def test_refuses_data_of_another_team(self, ana, cai, version, other_team, tmp_path):
        foreign = ready_version(cai, other_team, tmp_path)

        with pytest.raises(InvalidInput) as refused:
            evaluation_start(actor=ana, version=version, dataset_version=foreign)

        assert "dataset_version" in refused.value.errors
