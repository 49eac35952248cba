"""An adapter's whole life: trained on its base, evaluated, attacked, merged, and served with it."""

import json

import pytest
from safetensors.numpy import load_file

from models_app.core.blobs import blob_path
from models_app.core.errors import InvalidInput
from models_app.deployments.digest import revision_digest
from models_app.deployments.reconcile import reconcile_deployment
from models_app.jobs.kind import JobFailed, kind_of
from models_app.pools.services.registration import node_register
from models_app.registry.provenance import version_provenance
from models_app.registry.selectors import versions_ready
from models_app.registry.services import (
    attack_start,
    conversion_start,
    evaluation_start,
    model_create,
    reproduction_start,
    training_plan,
    training_rerun,
    training_start,
    version_quarantine,
)
from models_app.registry.use import version_uses
from tests.factories.data import finished, pending_version, stored
from tests.factories.deployments import claim, deployment_of, live, revision_of
from tests.fakes.jobs import run_job
from tests.workers.lm.training.conversations import sums
from workers.capacity import capacity
from workers.lm.inference.loading import load as serve_load

pytestmark = pytest.mark.django_db

TINY = {
    "architecture": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
    "tokenizer": "bpe", "vocab_size": 280, "sequence_length": 64, "batch_size": 4, "steps": 6,
    "warmup_steps": 1, "evaluate_every": 3, "evaluation_batches": 2, "checkpoint_every": 2,
    "log_every": 1, "learning_rate": 1e-2, "loss_on": "answers",
}  # fmt: skip
ADAPTER = {**TINY, "architecture": None, "tokenizer": "base", "lora_rank": 4}


@pytest.fixture(autouse=True)
def node(db):
    return node_register(name="test", incarnation="1", slots=4, capacity=capacity())


@pytest.fixture
def data(ana, team, tmp_path):
    rows = "\n".join(json.dumps(row) for row in sums(80, 1)).encode()
    return finished(pending_version(ana, team, stored("a.jsonl", rows)), tmp_path)


@pytest.fixture
def train(ana, team, data, tmp_path):
    def run(name, spec, base=None):
        model = model_create(actor=ana, team=team, name=name)
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=data, spec=spec, base_version=base
        )
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        assert version.state == "ready", version.error
        return version

    return run


@pytest.fixture
def base(train):
    return train("talker", TINY)


@pytest.fixture
def adapter(train, base):
    return train("talker-tuned", ADAPTER, base)


def weights(version):
    entry = version.manifest["adapter_model.safetensors"]
    return load_file(blob_path(entry["sha256"]))


def succeeded(job, tmp_path):
    job = run_job(job, tmp_path)
    assert job.state == "succeeded", job.reason
    return job


def test_its_version_tells_its_rank_and_names_its_base(adapter, base, team):
    config = json.loads(blob_path(adapter.manifest["adapter_config.json"]["sha256"]).read_text())

    assert adapter.model.family == "adapter"
    assert {"adapter_model.safetensors", "README.md"} <= set(adapter.manifest)
    assert "model.safetensors" not in adapter.manifest
    assert (adapter.facts["rank"], adapter.facts["context"], adapter.facts["chat"]) == (4, 64, True)
    assert adapter.facts["parameters"] == adapter.metrics["parameters"] < 10_000
    assert config["base_model_name_or_path"] == f"{team.slug}/talker"
    assert config["revision"] == f"v{base.number}"


def test_it_is_evaluated_attacked_and_merged_with_its_base(ana, adapter, base, data, tmp_path):
    for version in (base, adapter):
        job = evaluation_start(actor=ana, version=version, dataset_version=data)
        succeeded(job, tmp_path)
    ours, theirs = adapter.evaluations.get(), base.evaluations.get()
    assert ours.metrics["tokens"] == theirs.metrics["tokens"]
    assert ours.metrics["nats"] != theirs.metrics["nats"]

    conversion = conversion_start(actor=ana, version=adapter, format="merged")
    succeeded(conversion.job, tmp_path)
    merged = conversion.output
    merged.refresh_from_db()
    assert merged.state == "ready" and merged.model == base.model
    succeeded(evaluation_start(actor=ana, version=merged, dataset_version=data), tmp_path)
    assert merged.evaluations.get().metrics["nats"] == pytest.approx(ours.metrics["nats"], 1e-5)

    run = attack_start(actor=ana, version=adapter, rows=2, tokens=16)
    succeeded(getattr(run, "job", run), tmp_path)


def test_it_is_rebuilt_to_the_bit(ana, adapter, tmp_path):
    reproduction = reproduction_start(actor=ana, version=adapter)
    succeeded(reproduction.job, tmp_path)

    reproduction.refresh_from_db()
    assert reproduction.verdict == "equal"


class TestServing:
    @pytest.fixture
    def deployment(self, ana, team, adapter):
        deployment = deployment_of(ana, team)
        revision_of(ana, deployment, version=adapter, max_context=0)
        reconcile_deployment(deployment.pk)
        return deployment

    def test_its_replica_loads_it_merged(self, deployment, base, tmp_path):
        job = claim(live(deployment)[0])
        kind, params = kind_of(job)

        inputs = kind.load(params, job, tmp_path)

        loaded = serve_load(tmp_path / "model")
        assert inputs["model_dir"] == str(tmp_path / "model")
        assert loaded.parameters == base.facts["parameters"]

    def test_its_digest_covers_the_files_of_its_base(self, deployment, base):
        revision = deployment.revisions.get()
        assert revision_digest(revision) == revision.digest

        base.manifest = {**base.manifest, "README.md": {"sha256": "0" * 64, "size": 0}}
        base.save()

        assert revision_digest(deployment.revisions.get()) != revision.digest

    def test_damaged_files_of_its_base_are_refused(self, deployment, base, tmp_path):
        job = claim(live(deployment)[0])
        kind, params = kind_of(job)
        path = blob_path(base.manifest["model.safetensors"]["sha256"])
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(whole[:-1] + b"x")
        try:
            with pytest.raises(JobFailed, match=r"model\.safetensors"):
                kind.load(params, job, tmp_path)
        finally:  # other tests train the very same base
            path.write_bytes(whole)

    def test_whoever_serves_it_uses_its_base(self, deployment, base):
        assert [use.name for use in version_uses(base)] == [deployment.name]


class TestFurther:
    #: One step that moves nothing.
    STILL = {
        **ADAPTER, "steps": 1, "warmup_steps": 0, "learning_rate": 1e-9, "min_learning_rate": 0.0,
    }  # fmt: skip

    def test_begins_with_its_weights_on_the_same_base(self, ana, train, base, adapter):
        further = train("talker-further", self.STILL, adapter)

        assert (further.base_version, further.begun_with) == (base, adapter)
        ours, theirs = weights(further), weights(adapter)
        assert ours.keys() == theirs.keys()
        assert max(abs(ours[name] - theirs[name]).max() for name in ours) < 1e-6
        # A new adapter would have nothing but zeros there.
        assert all(theirs[name].any() for name in theirs if "lora_B" in name)
        found = version_provenance(further)
        assert found["begun_with"]["digest"] == adapter.digest
        assert "adapter" in {item["name"] for item in found["items"]}
        assert further.produced_by.params["begun_with"] == adapter.pk

    def test_is_rebuilt_to_the_bit_and_trained_again_from_there(
        self, ana, train, adapter, tmp_path
    ):
        further = train("talker-further", ADAPTER, adapter)
        assert any((weights(further)[n] != w).any() for n, w in weights(adapter).items())

        reproduction = reproduction_start(actor=ana, version=further)
        succeeded(reproduction.job, tmp_path)
        again = training_rerun(actor=ana, version=further)

        reproduction.refresh_from_db()
        assert reproduction.verdict == "equal"
        assert (again.begun_with, again.base_version) == (adapter, adapter.base_version)

    def test_only_as_what_it_is_and_not_without_its_base(self, ana, team, data, base, adapter):
        def refused(field, **changes):
            with pytest.raises(InvalidInput) as told:
                training_plan(actor=ana, team=team, dataset_version=data, base_version=adapter,
                              spec={**ADAPTER, **changes})  # fmt: skip
            assert list(told.value.errors) == [field]
            return told.value.errors[field][0]

        assert "use 4" in refused("config.lora_rank", lora_rank=8)
        assert "merge it into a version first" in refused("config.lora_rank", lora_rank=0)
        assert "use 16" in refused("config.lora_alpha", lora_alpha=4.0)
        assert "use all-linear" in refused("config.lora_targets", lora_targets="c_attn")

        version_quarantine(actor=ana, version=base, reason="It leaks")
        adapter.base_version.refresh_from_db()
        assert "not ready" in refused("base_version")


class TestRefusals:
    def test_an_adapter_of_a_quarantined_base_is_neither_evaluated_nor_offered(
        self, ana, adapter, base, data
    ):
        offered = versions_ready(actor=ana, ability="evaluate")
        assert adapter in offered
        version_quarantine(actor=ana, version=base, reason="It leaks")

        with pytest.raises(InvalidInput) as refused:
            evaluation_start(actor=ana, version=adapter, dataset_version=data)

        assert "not ready" in refused.value.errors["version"][0]
        assert adapter not in offered.all()

    def test_families_do_not_mix(self, ana, team, data, base, adapter):
        with pytest.raises(InvalidInput) as refused:
            training_start(actor=ana, team=team, model=base.model, dataset_version=data,
                           spec=ADAPTER, base_version=base)  # fmt: skip
        assert "model" in refused.value.errors

        with pytest.raises(InvalidInput) as refused:
            training_start(actor=ana, team=team, model=adapter.model, dataset_version=data,
                           spec=TINY)  # fmt: skip
        assert "config.lora_rank" in refused.value.errors

    def test_a_rank_without_a_base_is_refused(self, ana, team, data):
        with pytest.raises(InvalidInput) as refused:
            training_plan(actor=ana, team=team, dataset_version=data,
                          spec={**TINY, "lora_rank": 4})  # fmt: skip

        assert "config.lora_rank" in refused.value.errors

    def test_a_failed_run_says_which_setting(self, ana, team, base, data, tmp_path):
        model = model_create(actor=ana, team=team, name="odd", family="adapter")
        version = training_start(
            actor=ana, team=team, model=model, dataset_version=data, base_version=base,
            spec={**ADAPTER, "lora_targets": "q_proj"},
        )  # fmt: skip

        job = run_job(version.produced_by, tmp_path)

        assert job.state == "failed"
        assert "no layer q_proj" in job.reason


def test_only_the_adapter_counts_in_the_plan(ana, team, data, base):
    def need(spec):
        plan = training_plan(
            actor=ana, team=team, dataset_version=data, spec=spec, base_version=base
        )
        return plan.need.bytes

    whole, small = need({**ADAPTER, "lora_rank": 0}), need(ADAPTER)

    assert small["optimizer"] < whole["optimizer"] / 4
    assert small["gradients"] < whole["gradients"] / 4
