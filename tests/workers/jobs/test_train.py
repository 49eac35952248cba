"""A training from data to a ready version, its failures, and going on from a base version."""

import pytest

from models_app.configs.specs import TrainingSpec
from models_app.core.blobs import blob_path
from models_app.core.errors import InvalidInput
from models_app.jobs.attempts import job_fail
from models_app.jobs.claims import job_claim
from models_app.jobs.kind import JobStopped, job_kinds, kind_of
from models_app.jobs.logs import log_read
from models_app.jobs.models import Job, MetricPoint
from models_app.jobs.services import job_rerun
from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create, training_rerun, training_start
from tests.factories.data import ready_version
from tests.factories.jobs import placed
from tests.fakes.jobs import RecordingContext, run_job
from workers.lm.training.spec import TrainSpec

TINY = {
    "preset": "gpt2-1m", "tokenizer": "char", "vocab_size": 64, "sequence_length": 16,
    "batch_size": 4, "steps": 6, "warmup_steps": 1, "evaluate_every": 3, "evaluation_batches": 2,
    "checkpoint_every": 2, "log_every": 1, "learning_rate": 1e-3,
}  # fmt: skip


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


def start(ana, model, data, **changes):
    base = changes.pop("base_version", None)
    return training_start(
        actor=ana, team=model.team, model=model, dataset_version=data,
        spec={**TINY, **changes}, base_version=base,
    )  # fmt: skip


def test_settings_are_those_of_the_training_loop():
    ours = TrainingSpec(preset="gpt2-1m").plain()
    theirs = TrainSpec(preset="gpt2-1m").to_dict()

    assert ours == theirs


@pytest.mark.parametrize("name", TrainingSpec.model_fields)
def test_bounds_are_not_wider_than_those_of_the_training_loop(name):
    from workers.lm.training.limits import BOUNDS

    low, high = BOUNDS.get(name, (None, None))
    marks = {type(m).__name__: m for m in TrainingSpec.model_fields[name].metadata}
    if low is not None:
        assert marks["Ge"].ge >= low
        assert marks["Le"].le <= high


@pytest.mark.django_db
class TestTrain:
    def test_makes_a_ready_version_with_its_provenance(self, ana, model, data, tmp_path):
        version = start(ana, model, data)

        job = run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert (job.state, version.state) == ("succeeded", "ready")
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(version.manifest)
        assert all(blob_path(f["sha256"]).exists() for f in version.manifest.values())
        assert version.size_bytes == sum(f["size"] for f in version.manifest.values())
        assert version.metrics["steps"] == 6
        assert version.metrics["validation_loss"] > 0
        assert version.facts["tokenizer"] == "char"
        assert version.facts["context"] == 16
        assert version.facts["parameters"] == version.metrics["parameters"]
        assert version.environment["packages"]["torch"]
        assert version.seed == 1337
        assert version.code_version
        assert len(version.digest) == len(version.log_digest) == 64
        assert job.result["digest"] == version.digest

    def test_goes_on_from_the_checkpoint_of_a_lost_attempt(self, ana, model, data, tmp_path):
        whole = start(ana, model, data)
        run_job(whole.produced_by, tmp_path)
        broken = start(ana, model, data)
        held = job_claim(worker="w", node="n", job_id=placed(broken.produced_by, "n").pk)
        kind, params = kind_of(held)
        ctx = RecordingContext(tmp_path / str(held.pk), held.epoch)
        ctx.stop_after = 5
        inputs = kind.load(params, held, tmp_path / str(held.pk) / "inputs")
        with pytest.raises(JobStopped):
            kind.run(params, inputs, ctx)
        job_fail(job=held, code="node_lost", message="gone", permanent=False, attempt={})
        Job.objects.filter(pk=held.pk).update(run_after="2020-01-01T00:00:00Z")
        broken.refresh_from_db()
        assert broken.state == "pending"

        job = run_job(broken.produced_by, tmp_path)

        whole.refresh_from_db()
        broken.refresh_from_db()
        assert job.epoch == 2
        weights = [v.manifest["model.safetensors"]["sha256"] for v in (whole, broken)]
        assert weights[0] == weights[1]

    def test_trains_a_version_further(self, ana, model, data, tmp_path):
        base = start(ana, model, data)
        run_job(base.produced_by, tmp_path)
        base.refresh_from_db()

        version = start(ana, model, data, base_version=base, preset=None, tokenizer="base", seed=2)
        run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert version.state == "ready", version.error
        assert version.base_version == base
        assert version.facts["tokenizer"] == "char"
        assert version.manifest["tokenizer.json"] == base.manifest["tokenizer.json"]

    def test_names_divergence(self, ana, model, data, tmp_path):
        version = start(ana, model, data, learning_rate=10.0, gradient_clip=0.0, steps=60,
                        warmup_steps=0, schedule="constant", weight_decay=10.0)  # fmt: skip

        job = run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert (job.state, job.reason_code) == ("failed", "diverged")
        assert version.state == "failed"
        assert "learning_rate" in version.error

    def test_ends_early_and_the_version_says_so(self, ana, model, data, tmp_path):
        # No look improves on the first by so much.
        version = start(ana, model, data, patience=1, min_improvement=100.0, publish="best",
                        checkpoint_in_background="on", activation_checkpointing=True)  # fmt: skip

        job = run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert (job.state, version.state) == ("succeeded", "ready")
        assert (version.metrics["steps"], version.metrics["stopped_early"]) == (3, 1)
        assert version.metrics["validation_loss"] == version.metrics["best_validation_loss"]
        assert version.metrics["published_step"] == version.metrics["best_step"]
        lines = [line.text for line in log_read(job=job)]
        assert any(text.startswith("Ending early at step 3 of 6") for text in lines)

    def test_tells_of_steps_that_were_left_out(self, ana, model, data, tmp_path):
        # It learns nothing, and every loss above the median is taken for a leap.
        version = start(ana, model, data, steps=40, spike_factor=1.0001, divergence_budget=1000,
                        evaluate_every=0, learning_rate=1e-8, min_learning_rate=0.0)  # fmt: skip

        job = run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        left_out = version.metrics["skipped_steps"]
        points = MetricPoint.objects.filter(job=job, name="skipped_steps").order_by("step")
        assert left_out == points.last().value > 0
        assert points.count() == left_out

    def test_is_not_run_again_by_the_generic_way_but_as_a_new_version(
        self, ana, model, data, tmp_path
    ):
        version = start(ana, model, data)

        assert not job_kinds.get("train").submittable
        with pytest.raises(Exception, match="not run again by hand"):
            job_rerun(actor=ana, job=version.produced_by)
        again = training_rerun(actor=ana, version=version, changes={"seed": 5})

        assert (again.number, again.seed) == (2, 5)
        assert again.produced_by.rerun_of == version.produced_by
        assert again.config_revision.number == 2


@pytest.mark.django_db
class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "field", "text"),
        [
            ({"sequence_length": 100_000}, "config.sequence_length", "The training split has"),
            ({"tokenizer": "bpe", "vocab_size": 200_000}, "config.vocab_size", "cannot be learned"),
            ({"tokenizer": "base", "preset": None}, "config.tokenizer", "base version"),
            ({"preset": "gpt9"}, "config.preset", "gpt2-1m"),
            ({"preset": None}, "config.preset", "Choose a preset"),
            ({"architecture": {"model_type": "gpt2"}}, "config.architecture", "not both"),
            ({"preset": None, "architecture": {"model_type": "gpt2"}}, "config.architecture", "w"),
            ({"warmup_steps": 6}, "config.warmup_steps", "fewer than the 6 steps"),
            ({"learning_rate": float("nan")}, "config.learning_rate", "finite"),
            ({"learning_rate": 0}, "config.learning_rate", "greater"),
            ({"stpes": 1}, "config.stpes", "no such field"),
        ],
    )
    def test_come_before_anything_is_stored(self, ana, model, data, changes, field, text):
        with pytest.raises(InvalidInput) as refused:
            start(ana, model, data, **changes)

        assert text in refused.value.errors[field][0]
        assert not ModelVersion.objects.exists()
        assert not Job.objects.filter(kind="train").exists()

    def test_counts_the_memory_of_the_node(self, ana, model, data):
        from models_app.pools.services.registration import node_register

        node_register(name="n", incarnation="1", slots=1,
                      capacity={"memory_mib": 1024})  # fmt: skip

        with pytest.raises(InvalidInput) as refused:
            start(ana, model, data, preset="gpt2-124m")

        assert "the largest node has 1.0" in refused.value.errors["config.preset"][0]

    def test_takes_only_ready_data_of_the_same_team(self, ana, cai, model, data, other_team,
                                                    tmp_path):  # fmt: skip
        foreign = ready_version(cai, other_team, tmp_path)
        with pytest.raises(InvalidInput) as refused:
            start(ana, model, foreign)

        assert "dataset_version" in refused.value.errors
