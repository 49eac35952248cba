"""Batches over the other engines, and over a model that several processes hold."""

import asyncio

import pytest

from models_app.batches.models import Batch
from models_app.batches.selectors import batch_counts, batch_status
from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.core.errors import FieldError
from models_app.deployments.models import Revision
from models_app.jobs.models import Job
from tests.factories.batches import batch_of, request_line
from tests.factories.deployments import ready_version, serving
from tests.factories.nodes import ready_node
from tests.fakes.jobs import run_job
from tests.workers.jobs.test_batch_infer import lines_of
from tests.workers.lm.inference import tiny
from tests.workers.lm.recording import Recorder
from workers.lm.formats import FORMATS
from workers.lm.formats.base import has_package
from workers.lm.formats.convert import Work, convert
from workers.lm.inference.offline import offline
from workers.lm.inference.server import ServeOptions

ROWS = 6


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A tiny model that may be converted and split."""
    return tiny.save(tmp_path_factory.mktemp("batch-engines") / "source", chat_template=None)


def version_of(team, folder, *, name="poet", **fields):
    version = ready_version(team, name=name, **fields)
    version.manifest = tree_put(folder)
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def rows(model):
    """Requests for texts, for these models know no conversations."""
    return [
        {**request_line(n), "url": "/v1/completions",
         "body": {"model": model, "prompt": f"the quick {n}", "max_tokens": 6, "temperature": 0}}
        for n in range(ROWS)
    ]  # fmt: skip


def answered(actor, team, model, folder):
    """Text of each answer, in order, by a job that really runs."""
    batch = batch_of(actor, team, rows(model), "/v1/completions")
    job = run_job(batch.job, folder)

    batch = Batch.objects.get(pk=batch.pk)
    assert (job.reason, batch_status(batch)) == ("", "completed")
    assert batch_counts(batch) == {"total": ROWS, "completed": ROWS, "failed": 0}
    found = lines_of(batch.output_file)
    assert [row["custom_id"] for row in found] == [f"q-{n}" for n in range(ROWS)]
    return [row["response"]["body"]["choices"][0]["text"] for row in found]


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    """The same for OpenVINO."""
    pytest.importorskip("openvino", reason="needs the extra openvino")
    out = tmp_path_factory.mktemp("batch-openvino") / "fp32"
    gate = vars(FORMATS["openvino"].precision("fp32").gate)
    work = Work(format="openvino", precision="fp32", source=source, out=out, limits=gate)
    assert convert(work, Recorder())["passed"]
    return out


def one_by_one(folder, model):
    """What OpenVINO answers to each request alone."""
    options = ServeOptions(model_dir=folder, name=model, secret="", backend="openvino")
    with offline(options, lambda line: None, lambda: False) as opened:
        asked = [asyncio.run(opened.ask("/v1/completions", row["body"])) for row in rows(model)]
    return [body["choices"][0]["text"] for _status, body in asked]


@pytest.mark.django_db
def test_openvino_answers_each_as_if_it_were_alone(ana, team, source, converted, tmp_path):
    version_of(team, source)
    version_of(team, converted, name="poet-ov", format="openvino")

    ours = answered(ana, team, "research/poet:v1", tmp_path)
    theirs = answered(ana, team, "research/poet-ov:v1", tmp_path)

    assert theirs == one_by_one(converted, "research/poet-ov:v1")
    # Of random weights one token may be as likely as another.
    assert sum(one == other for one, other in zip(theirs, ours, strict=True)) >= ROWS - 2


@pytest.mark.slow
@pytest.mark.django_db
def test_two_processes_answer_as_one_does(ana, team, source, tmp_path, settings):
    settings.JOB_LEASE_S = 600  # nobody renews it while the second process starts
    version = version_of(team, source)
    deployment = serving(ana, team, version=version)
    alone = answered(ana, team, "research/writer", tmp_path)
    Revision.objects.filter(pk=deployment.active_revision_id).update(
        overlaid_spec={**deployment.active_revision.spec_in_effect, "tensor_parallel": 2}
    )

    both = answered(ana, team, "research/writer", tmp_path)

    assert both == alone
    job = Job.objects.filter(kind="batch_infer").order_by("-pk")[0]
    assert job.cpus == 2


@pytest.mark.django_db
class TestMissing:
    """The engine of a deployment is not on the nodes any more, or never was."""

    @pytest.fixture
    def asked(self, ana, team, source):
        deployment = serving(ana, team, version=version_of(team, source))
        Revision.objects.filter(pk=deployment.active_revision_id).update(
            overlaid_spec={**deployment.active_revision.spec_in_effect, "backend": "vllm"}
        )
        return rows("research/writer")

    def test_on_every_node_it_is_refused_with_the_remedy(self, ana, team, asked):
        ready_node("plain")
        with pytest.raises(FieldError, match="pip install") as refused:
            batch_of(ana, team, asked, "/v1/completions")

        assert set(refused.value.errors) == {"model"}
        assert not Batch.objects.exists()

    def test_on_some_it_goes_to_the_others(self, ana, team, asked):
        ready_node("plain")
        ready_node("large", packages={"vllm": "0.30"})

        batch = batch_of(ana, team, asked, "/v1/completions")

        job = Job.objects.get(pk=batch.job_id)
        assert job.excluded_nodes == ["plain"]

    @pytest.mark.skipif(has_package("vllm"), reason="vLLM is here")
    def test_where_it_runs_the_job_says_so_at_once(self, ana, team, asked, tmp_path):
        batch = batch_of(ana, team, asked, "/v1/completions")

        job = run_job(batch.job, tmp_path)

        assert (job.state, job.reason_code) == ("failed", "config_invalid")
        assert "vllm.txt" in job.reason and "pip install" in job.reason
        assert batch_status(Batch.objects.get()) == "failed"
