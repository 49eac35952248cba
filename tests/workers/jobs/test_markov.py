"""N-gram and hidden Markov models: from data to a ready version that is scored and answers."""

import json
import math

import pytest

from models_app.core.blobs import blob_open, tree_materialise
from models_app.core.errors import FieldError, InvalidInput
from models_app.jobs.claims import job_claim
from models_app.jobs.kind import JobStopped, kind_of
from models_app.jobs.models import TextSample
from models_app.registry.importing import UploadSource
from models_app.registry.services import (
    conversion_start,
    evaluation_start,
    model_create,
    training_plan,
    training_rerun,
    training_start,
    version_bundle,
    version_import,
)
from tests.factories.data import ready_version, stored
from tests.factories.jobs import placed
from tests.fakes.jobs import RecordingContext, run_job
from tests.workers.lm.inference.conftest import SECRET, start
from workers.lm.inference.server import ServeOptions

pytestmark = pytest.mark.django_db

NGRAM = {"unit": "char", "order": 4, "sentences": "document", "vocab_size": 100}
HMM = {"unit": "letter", "states": 2, "iterations": 6, "tolerance": 0, "vocab_size": 29,
       "checkpoint_every": 2}  # fmt: skip
SETTINGS = {"ngram": NGRAM, "hmm": HMM}
FILES = {"ngram": "ngram.json", "hmm": "picture.json"}


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def begun(ana, team, data):
    def begin(family, name="counted", **changes):
        model = model_create(actor=ana, team=team, name=name, family=family)
        return training_start(
            actor=ana, team=team, model=model, dataset_version=data,
            spec={**SETTINGS[family], **changes},
        )  # fmt: skip

    return begin


@pytest.fixture
def served():
    """A stock client of a server over a folder."""
    started = []

    def serve(folder):
        started.append(start(ServeOptions(model_dir=folder, name="acme/m", secret=SECRET)))
        return started[-1].client()

    yield serve
    for server in started:
        server.stop.set()
        server.thread.join(timeout=20)


@pytest.mark.parametrize("family", SETTINGS)
class TestEveryFamily:
    def test_makes_a_ready_version_with_its_provenance(self, begun, family, tmp_path):
        version = begun(family)

        job = run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert (job.state, version.state, version.format) == ("succeeded", "ready", family)
        assert {"markov.json", "model.safetensors", "tokenizer.json"} <= set(version.manifest)
        assert FILES[family] in version.manifest
        assert version.facts["model_type"] == family
        assert version.facts["parameters"] == version.metrics["parameters"] > 0
        assert 0 < version.metrics["validation_loss"] < math.log(version.facts["vocab_size"])
        assert version.config_revision.config.kind == family
        assert version.environment["packages"]["numpy"]
        assert job.gpus == 0
        (written,) = TextSample.objects.filter(job=job)
        assert (written.prompt, bool(written.text.strip())) == ("", True)

    def test_the_same_training_gives_the_same_files(self, begun, ana, family, tmp_path):
        version = begun(family)
        run_job(version.produced_by, tmp_path / "a")
        again = training_rerun(actor=ana, version=version)
        run_job(again.produced_by, tmp_path / "b")

        version.refresh_from_db()
        again.refresh_from_db()
        assert version.digest == again.digest

    def test_is_scored_document_by_document(self, begun, ana, data, family, tmp_path):
        version = begun(family)
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()

        run_job(evaluation_start(actor=ana, version=version, dataset_version=data), tmp_path)

        found = version.evaluations.get()
        with blob_open(found.scores_sha256) as stream:
            rows = [json.loads(line) for line in stream]
        assert len(rows) == found.metrics["documents"] == 6
        assert found.metrics["lossless"] is (family == "ngram")
        assert found.metrics["nats_per_token"] < math.log(version.facts["vocab_size"])

    def test_cannot_be_trained_further(self, begun, ana, team, data, family, tmp_path):
        version = begun(family)
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()

        with pytest.raises(FieldError, match="cannot be trained further"):
            training_plan(
                actor=ana, team=team, dataset_version=data, base_version=version,
                spec={"tokenizer": "base"},
            )  # fmt: skip

    def test_moves_to_another_console_in_a_bundle_and_answers_there(
        self, begun, ana, cai, other_team, family, tmp_path, served
    ):
        version = begun(family)
        run_job(version.produced_by, tmp_path / "here")
        version.refresh_from_db()
        bundle = version_bundle(actor=ana, version=version)
        data = b"".join(bundle.packed.pieces())
        model = model_create(actor=cai, team=other_team, name="moved")

        source = UploadSource(files=[stored(bundle.filename, data)])
        moved = version_import(actor=cai, model=model, source=source)
        run_job(moved.produced_by, tmp_path / "there")

        moved.refresh_from_db()
        assert (moved.state, moved.format) == ("ready", family), moved.error
        assert moved.model.family == family
        assert (moved.digest, moved.manifest) == (version.digest, version.manifest)
        assert moved.facts == version.facts == moved.origin.record["facts"]
        assert moved.scans.get().verdict == "passed"
        client = served(tree_materialise(moved.manifest, tmp_path / "model"))
        answer = client.completions.create(model="m", prompt="the quick", max_tokens=4, seed=1)
        assert answer.usage.completion_tokens > 0

    def test_answers_over_the_api(self, begun, family, tmp_path, served):
        version = begun(family)
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()
        client = served(tree_materialise(version.manifest, tmp_path / "model"))

        one, two = (
            client.completions.create(
                model="m", prompt="the quick", max_tokens=12, seed=7, logprobs=2, temperature=1
            ).choices[0]
            for _ in range(2)
        )

        assert one.text == two.text
        assert all(value <= 0 for value in one.logprobs.token_logprobs)


class TestNgram:
    def test_names_settings_that_do_not_fit(self, ana, team, data):
        def plan(**changes):
            return training_plan(
                actor=ana, team=team, dataset_version=data, family="ngram",
                spec={**NGRAM, **changes},
            )  # fmt: skip

        assert plan().need.parameters is None
        for changes, field in (
            ({"order": 0}, "config.order"),
            ({"order": 11}, "config.order"),
            ({"prune": [0, 2, 1]}, "config.prune"),
            ({"prune": [1]}, "config.prune"),
            ({"unit": "syllable"}, "config.unit"),
            ({"unit": "bpe", "vocab_size": 100}, "config.vocab_size"),
            ({"learning_rate": 1}, "config.learning_rate"),
        ):
            with pytest.raises(InvalidInput) as caught:
                plan(**changes)
            assert list(caught.value.errors) == [field], changes

    @pytest.mark.parametrize("unit", ["char", "word", "bpe"])
    def test_is_written_as_arpa_text_that_says_the_same(self, begun, ana, unit, tmp_path):
        size = {"bpe": 300}.get(unit, 100)
        version = begun("ngram", unit=unit, order=3, vocab_size=size)
        run_job(version.produced_by, tmp_path)
        version.refresh_from_db()

        conversion = conversion_start(actor=ana, version=version, format="arpa")
        run_job(conversion.job, tmp_path)

        conversion.refresh_from_db()
        output = conversion.output
        assert (output.state, output.format) == ("ready", "arpa"), conversion.report
        assert conversion.report["divergence"]["mean"] < 1e-6
        with blob_open(output.manifest["model.arpa"]["sha256"]) as stream:
            assert stream.readline() == b"\\data\\\n"
        with pytest.raises(FieldError, match="ARPA text"):
            conversion_start(actor=ana, version=version, format="gguf")

    def test_longer_contexts_predict_better(self, begun, tmp_path):
        losses = []
        for order in (1, 2, 3):
            version = begun("ngram", name=f"order-{order}", order=order)
            run_job(version.produced_by, tmp_path / str(order))
            version.refresh_from_db()
            losses.append(version.metrics["train_loss"])

        assert losses == sorted(losses, reverse=True)


class TestHmm:
    def test_goes_on_from_the_checkpoint_of_a_lost_attempt(self, begun, tmp_path):
        whole = begun("hmm", name="whole")
        run_job(whole.produced_by, tmp_path)
        broken = begun("hmm", name="broken")
        held = job_claim(worker="w", node="n", job_id=placed(broken.produced_by, "n").pk)
        kind, params = kind_of(held)
        ctx = RecordingContext(tmp_path / str(held.pk), held.epoch)
        ctx.stop_after = 3
        inputs = kind.load(params, held, tmp_path / str(held.pk) / "inputs")

        with pytest.raises(JobStopped):
            kind.run(params, inputs, ctx)
        ctx.stop_after = None
        kind.run(params, inputs, ctx)

        whole.refresh_from_db()
        weights = (ctx.output_dir / "model" / "model.safetensors").read_bytes()
        with blob_open(whole.manifest["model.safetensors"]["sha256"]) as stream:
            assert stream.read() == weights
        assert any("Going on from checkpoint" in line for line in ctx.lines)
