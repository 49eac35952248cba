"""What a revision changes, with what evidence, how much memory; and figures of calls."""

import datetime as dt

import pytest

from models_app.core.clock import now
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.deployments.comparison import describe_revision, revision_evidence
from models_app.deployments.footprint import PROCESS_BYTES, replica_bytes
from models_app.deployments.models import RequestRecord
from models_app.deployments.statistics import request_figures
from models_app.jobs.services import job_submit
from models_app.registry.models import Evaluation, ModelVersion
from tests.factories.deployments import deployment_of, ready_version, revision_of, serving

pytestmark = pytest.mark.django_db


def evaluate(actor, team, version, data, **metrics):
    job = job_submit(actor=actor, team=team, kind="self_test", params={})
    return Evaluation.objects.create(
        version=version, dataset_version=data, produced_by=job, metrics=metrics, scores_sha256="0"
    )


@pytest.fixture
def data(team):
    dataset = Dataset.objects.create(team=team, name="verse")
    return DatasetVersion.objects.create(dataset=dataset, number=1)


class TestEvidence:
    def test_stands_side_by_side_only_on_the_same_data(self, ana, team, data):
        deployment = serving(ana, team)
        old = deployment.active_revision
        evaluate(ana, team, old.model_version, data, perplexity=20.0, bits_per_byte=1.5)
        new = revision_of(ana, deployment)
        other = DatasetVersion.objects.create(dataset=data.dataset, number=2)
        evaluate(ana, team, new.model_version, data, perplexity=18.0, bits_per_byte=1.6)
        evaluate(ana, team, new.model_version, other, perplexity=30.0)

        rows = {row.name: row for row in revision_evidence(old, new)}

        same = rows["Perplexity, verse v1 · validation"]
        assert (same.old, same.new, same.better) == (20.0, 18.0, True)
        assert rows["Bits per byte, verse v1 · validation"].better is False
        alone = rows["Perplexity, verse v2 · validation"]
        assert (alone.old, alone.new, alone.better) == (None, 30.0, None)

    def test_a_newer_evaluation_replaces_the_older(self, ana, team, data):
        revision = revision_of(ana, deployment_of(ana, team))
        evaluate(ana, team, revision.model_version, data, perplexity=20.0)
        evaluate(ana, team, revision.model_version, data, perplexity=19.0)

        (row,) = revision_evidence(None, revision)

        assert row.new == 19.0


class TestDescription:
    def test_names_only_what_differs(self, ana, team):
        deployment = serving(ana, team, replicas=1)
        version = deployment.active_revision.model_version
        new = revision_of(ana, deployment, version=version, replicas=3)
        new.deployment.refresh_from_db()

        description = describe_revision(new)

        assert [(c.name, c.old, c.new) for c in description.changes] == [("Replicas", "1", "3")]
        assert "more memory" in description.changes[0].effect
        assert "r1 stays loaded for 300 s" in description.way_back


class TestMemory:
    def test_counts_weights_and_the_cache_of_all_slots(self):
        version = ModelVersion(
            size_bytes=4000, facts={"layers": 2, "width": 8, "heads": 4, "context": 16}
        )
        spec = {"dtype": "fp32", "max_slots": 3, "max_context": 0}
        assert replica_bytes(version, spec) == PROCESS_BYTES + 4000 + 2 * 2 * 8 * 16 * 3 * 4
        half = replica_bytes(version, {**spec, "dtype": "bf16"}) - PROCESS_BYTES
        assert half == (4000 + 2 * 2 * 8 * 16 * 3 * 4) // 2

    def test_shared_heads_keep_less(self):
        facts = {"layers": 1, "width": 8, "heads": 4, "context": 16}
        shared = {**facts, "architecture": {"num_key_value_heads": 1}}
        spec = {"dtype": "fp32", "max_slots": 1, "max_context": 0}
        full = replica_bytes(ModelVersion(size_bytes=0, facts=facts), spec) - PROCESS_BYTES
        less = replica_bytes(ModelVersion(size_bytes=0, facts=shared), spec) - PROCESS_BYTES
        assert less * 4 == full
        wide = {**facts, "architecture": {"num_key_value_heads": 1, "head_dim": 4}}
        more = replica_bytes(ModelVersion(size_bytes=0, facts=wide), spec) - PROCESS_BYTES
        assert more * 2 == full

    def test_a_version_without_facts_still_gives_a_figure(self):
        assert replica_bytes(ModelVersion(size_bytes=10), {}) == PROCESS_BYTES + 10


def test_request_figures(ana, team):
    deployment = deployment_of(ana, team)
    ready_version(team)
    at = now()
    for place in range(100):
        RequestRecord.objects.create(
            request_id=f"r{place}",
            at=at - dt.timedelta(seconds=place),
            deployment=deployment,
            endpoint="completions",
            status=500 if place < 4 else 400 if place < 6 else 200,
            outcome="replica_lost" if place == 99 else "stop",
            total_ms=place,
            first_token_ms=place if place % 2 else None,
            prompt_tokens=2,
            completion_tokens=3,
        )
    RequestRecord.objects.create(
        request_id="old", at=at - dt.timedelta(hours=2), deployment=deployment,
        endpoint="completions", status=500, total_ms=9,
    )  # fmt: skip

    figures = request_figures(deployment)

    assert (figures.requests, figures.errors, figures.refused) == (100, 5, 2)
    assert figures.error_percent == 5.0
    assert figures.first_token_p50_ms == 50.0
    assert (figures.prompt_tokens, figures.completion_tokens) == (200, 300)
    assert sum(figures.series) == 100
    assert figures.series[-1] > 0
