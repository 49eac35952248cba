"""A conversion from the request to a version with its report, and what must not become one."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import errno
import shutil

import pytest
from safetensors.torch import load_file, save_file

from models_app.core.blobs import blob_path, blob_root, tree_put
from models_app.core.digests import tree_digest
from models_app.core.errors import Conflict, InvalidInput, PermissionDenied
from models_app.jobs.attempts import job_fail
from models_app.jobs.claims import job_claim
from models_app.jobs.kind import JobStopped, kind_of
from models_app.jobs.models import Job
from models_app.pools.services.registration import node_register
from models_app.registry.models import Conversion, ModelVersion
from models_app.registry.provenance import version_provenance
from models_app.registry.services import (
    conversion_start,
    evaluation_start,
    model_create,
    training_start,
)
from tests.factories.data import ready_version
from tests.factories.deployments import deployment_of, revision_of
from tests.factories.jobs import placed
from tests.fakes.jobs import RecordingContext, run_job
from tests.workers.jobs.test_train import TINY
from tests.workers.lm.formats.conftest import adapter, models
from workers.capacity import capacity

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def stored(team):
    """`stored(folder, name)`: a ready version with the files of a folder."""

    def make(folder, name="poet", **fields):
        from tests.factories.deployments import ServedModelFactory

        manifest = tree_put(folder)
        model = ServedModelFactory(team=team, name=name)
        return ModelVersion.objects.create(
            model=model, number=model.versions.count() + 1, state="ready", manifest=manifest,
            digest=tree_digest(manifest), facts={"parameters": 20_000, "context": 48},
            size_bytes=sum(entry["size"] for entry in manifest.values()), **fields,
        )  # fmt: skip

    return make


@pytest.fixture
def version(stored, models):
    return stored(models["gpt2"])


@pytest.fixture(autouse=True)
def node(db):
    return node_register(name="test", incarnation="1", slots=4, capacity=capacity())


def started(ana, version, format="int8", **options):
    return conversion_start(actor=ana, version=version, format=format, **options)


def converted(ana, version, folder, format="int8", **options):
    conversion = started(ana, version, format, **options)
    job = run_job(conversion.job, folder)
    conversion.refresh_from_db()
    conversion.output.refresh_from_db()
    return conversion, job


class TestConvert:
    def test_makes_the_next_version_with_report_and_provenance(self, ana, version, data, tmp_path):
        conversion, job = converted(ana, version, tmp_path, dataset_version=data)

        output = conversion.output
        assert (job.state, output.state, conversion.passed) == ("succeeded", "ready", True)
        assert (output.number, output.format) == (version.number + 1, "int8")
        assert (output.source_version, output.base_version) == (version, None)
        assert {"model.int8.safetensors", "tokenizer.json", "config.json"} <= set(output.manifest)
        assert not {"model.safetensors", "training.json"} & set(output.manifest)
        assert all(blob_path(f["sha256"]).exists() for f in output.manifest.values())
        assert output.facts["precision"] == "int8"
        assert output.environment["packages"]["torch"]
        assert len(output.log_digest) == 64
        report = conversion.report
        assert report["size"]["ratio_fp32"] <= 0.35
        assert report["measured_on"]["kind"] == "dataset"
        assert report["perplexity"]["source"] > 1
        came_from = version_provenance(output)
        inputs = {item["name"]: item["digest"] for item in came_from["items"]}
        assert inputs["converted"] == version.digest
        assert came_from["source_version"]["digest"] == version.digest
        assert came_from["conversion"]["gate"]["mean_divergence"]["limit"] == 0.02

    def test_a_gate_that_is_not_passed_keeps_the_report_and_no_file(self, ana, version, tmp_path):
        before = set(blob_root().glob("??/??/*"))

        conversion, job = converted(ana, version, tmp_path, gate={"max_logit_error": 0.0})

        output = conversion.output
        assert (job.state, output.state, conversion.passed) == ("succeeded", "failed", False)
        assert "max_logit_error is" in output.error
        assert "the limit is 0" in output.error
        assert conversion.gate["max_logit_error"] == {"limit": 0.0, "default": None}
        assert output.manifest == {}
        assert set(blob_root().glob("??/??/*")) == before
        again, _ = converted(ana, version, tmp_path)
        assert again.output.state == "ready"

    def test_names_the_conversion_that_exists(self, ana, version, tmp_path):
        first = started(ana, version, "safetensors", precision="bf16")

        with pytest.raises(Conflict, match=f"{first.output} is this conversion already") as refused:
            started(ana, version, "safetensors")

        assert refused.value.extra["model_version"] == first.output_id
        assert started(ana, version, "safetensors", precision="fp16").output.number == 3

    def test_the_same_key_gives_the_same_conversion(self, ana, version):
        first = started(ana, version, idempotency_key="k")

        assert started(ana, version, idempotency_key="k") == first
        assert Job.objects.filter(kind="convert").count() == 1

    def test_goes_on_after_a_killed_worker(self, ana, version, tmp_path):
        conversion = started(ana, version)
        held = job_claim(worker="w", node="n", job_id=placed(conversion.job, "n").pk)
        job_fail(job=held, code="node_lost", message="gone", permanent=False, attempt={})
        Job.objects.filter(pk=held.pk).update(run_after="2020-01-01T00:00:00Z")
        conversion.output.refresh_from_db()
        assert conversion.output.state == "pending"

        job = run_job(conversion.job, tmp_path)

        conversion.output.refresh_from_db()
        assert (job.epoch, conversion.output.state) == (2, "ready")

    def test_stops_when_asked(self, ana, version, tmp_path):
        conversion = started(ana, version)
        held = job_claim(worker="w", node="n", job_id=placed(conversion.job, "n").pk)
        kind, params = kind_of(held)
        ctx = RecordingContext(tmp_path, held.epoch)
        ctx.should_stop = lambda: True

        with pytest.raises(JobStopped):
            kind.run(params, kind.load(params, held, tmp_path / "inputs"), ctx)

    def test_merges_an_adapter_into_a_version_of_its_base(
        self,
        ana,
        stored,
        models,
        adapter,
        tmp_path,
    ):
        base = stored(models["llama"], "poet")
        folder = shutil.copytree(adapter, tmp_path / "a", ignore=shutil.ignore_patterns("base"))
        tuned = stored(folder, "tuned", base_version=base)

        conversion, _ = converted(ana, tuned, tmp_path, "merged")

        output = conversion.output
        assert output.state == "ready", output.error
        assert (output.model, output.format) == (base.model, "safetensors")
        assert output.source_version == tuned
        assert conversion.report["logits"]["max_error"] < 1e-5

    def test_asks_for_memory_by_the_size_of_the_model(self, ana, version):
        version.facts = {"parameters": 125_000_000}
        version.save()

        job = started(ana, version).job

        assert 2000 < job.memory_mib < 4000


class TestRefusals:
    def test_a_damaged_source_is_named(self, ana, stored, models, tmp_path):
        # Weights of its own, for files of equal content are shared by all tests.
        folder = shutil.copytree(models["gpt2"], tmp_path / "own")
        weights = load_file(folder / "model.safetensors")
        save_file({name: value * 1.5 for name, value in weights.items()},
                  folder / "model.safetensors")  # fmt: skip
        version = stored(folder)
        conversion = started(ana, version)
        path = blob_path(version.manifest["model.safetensors"]["sha256"])
        text = bytearray(path.read_bytes())
        text[-1] ^= 1
        path.chmod(0o644)
        path.write_bytes(text)

        job = run_job(conversion.job, tmp_path)

        conversion.output.refresh_from_db()
        assert (job.state, job.reason_code) == ("failed", "integrity")
        assert conversion.output.state == "failed"
        assert "model.safetensors of the source is damaged" in conversion.output.error

    def test_an_unsupported_architecture_is_named(self, ana, stored, models, tmp_path):
        folder = shutil.copytree(models["llama"], tmp_path / "odd")
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"silu"', '"gelu"'))

        conversion, job = converted(ana, stored(folder), tmp_path, "gguf")

        assert (job.state, job.reason_code) == ("failed", "config_invalid")
        assert "only the activation silu" in conversion.output.error

    def test_a_full_disk_leaves_nothing_half_visible(self, ana, version, tmp_path, monkeypatch):
        def full(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("safetensors.torch.save_file", full)
        conversion = started(ana, version)
        held = job_claim(worker="w", node="n", job_id=placed(conversion.job, "n").pk)
        kind, params = kind_of(held)
        ctx = RecordingContext(tmp_path, held.epoch)

        with pytest.raises(OSError, match="No space"):
            kind.run(params, kind.load(params, held, tmp_path / "inputs"), ctx)

        assert [path.name for path in ctx.output_dir.iterdir()] == ["record"]

    def test_formats_without_their_library_are_refused(self, ana, version, node):
        node.capacity = {"packages": {"torch": "2.13.0"}}
        node.save()

        with pytest.raises(InvalidInput) as refused:
            started(ana, version, "onnx")

        assert "requirements/formats.txt" in refused.value.errors["format"][0]
        assert not Conversion.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "field", "text"),
        [
            ({"format": "coreml"}, "format", "safetensors"),
            ({"precision": "int3"}, "precision", "int8"),
            ({"format": "merged"}, "format", "is no adapter"),
        ],
    )
    def test_bad_input_names_its_field(self, ana, version, changes, field, text):
        with pytest.raises(InvalidInput) as refused:
            conversion_start(actor=ana, version=version, **{"format": "int8", **changes})

        assert text in refused.value.errors[field][0]
        assert ModelVersion.objects.count() == 1

    def test_an_adapter_without_its_base_is_refused(self, ana, stored, adapter, tmp_path):
        folder = shutil.copytree(adapter, tmp_path / "a", ignore=shutil.ignore_patterns("base"))
        tuned = stored(folder)

        for format, field in (("merged", "version"), ("gguf", "format")):
            with pytest.raises(InvalidInput) as refused:
                started(ana, tuned, format)
            assert field in refused.value.errors

    def test_viewers_may_not(self, eve, version):
        with pytest.raises(PermissionDenied):
            started(eve, version)

    def test_formats_for_other_runtimes_are_neither_trained_evaluated_nor_served(
        self, ana, team, version, data, tmp_path
    ):
        output = converted(ana, version, tmp_path, "gguf")[0].output
        model = model_create(actor=ana, team=team, name="other")
        spec = {**TINY, "preset": None, "tokenizer": "base"}

        with pytest.raises(InvalidInput, match="not evaluated here"):
            evaluation_start(actor=ana, version=output, dataset_version=data)
        with pytest.raises(InvalidInput, match="cannot be trained further"):
            training_start(actor=ana, team=team, model=model, dataset_version=data, spec=spec,
                           base_version=output)  # fmt: skip
        with pytest.raises(InvalidInput, match="not served here"):
            revision_of(ana, deployment_of(ana, team), version=output)
        with pytest.raises(InvalidInput, match="nothing is converted"):
            started(ana, output)

    def test_eight_bits_are_evaluated_and_deployed_but_not_trained(
        self, ana, team, version, data, tmp_path
    ):
        output = converted(ana, version, tmp_path)[0].output
        model = model_create(actor=ana, team=team, name="other")
        spec = {**TINY, "preset": None, "tokenizer": "base"}

        run_job(evaluation_start(actor=ana, version=output, dataset_version=data), tmp_path)
        revision_of(ana, deployment_of(ana, team), version=output)

        assert output.evaluations.get().metrics["perplexity"] > 1
        with pytest.raises(InvalidInput, match="cannot be trained further"):
            training_start(actor=ana, team=team, model=model, dataset_version=data, spec=spec,
                           base_version=output)  # fmt: skip
        with pytest.raises(InvalidInput, match="served with fp32"):
            revision_of(ana, deployment_of(ana, team, name="b"), version=output, dtype="bf16")
