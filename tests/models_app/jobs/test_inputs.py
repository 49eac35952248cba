"""What a job reads is compared when it starts: what has changed since ends it, by name."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import pytest

from models_app.configs.models import ConfigRevision
from models_app.core.blobs import blob_path
from models_app.core.digests import tree_digest
from models_app.core.store import BlobMissing
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import dataset_create, version_import_path
from models_app.jobs.inputs import job_load
from models_app.jobs.kind import kind_of
from models_app.registry.models import ModelVersion
from models_app.registry.services import evaluation_start, training_rerun, version_quarantine
from tests.fakes.jobs import run_job
from tests.models_app.registry.conftest import data, model, trained, version

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(ben, version):
    """A training that has not started yet."""
    return training_rerun(actor=ben, version=version, changes={"seed": 2}).produced_by


def ended(job, folder):
    """The end of a job, and that it was not tried again."""
    job = run_job(job, folder)
    assert (job.state, job.epoch) == ("failed", 1)
    assert job.reason_code == "input_changed"
    return job.reason


class TestTraining:
    def test_records_its_inputs_when_it_is_submitted(self, waiting, version):
        data, config = version.dataset_version, waiting.model_versions.get().config_revision

        assert waiting.inputs == [
            {"role": "dataset version", "name": str(data), "digest": data.digest},
            {"role": "configuration", "name": str(config), "digest": config.digest},
        ]

    def test_starts_with_what_is_the_same(self, waiting, tmp_path):
        assert run_job(waiting, tmp_path).state == "succeeded"

    def test_names_data_that_changed_with_both_digests(self, waiting, version, tmp_path):
        data = version.dataset_version
        manifest = dict(list(data.manifest.items())[:1])
        DatasetVersion.objects.filter(pk=data.pk).update(manifest=manifest)

        reason = ended(waiting, tmp_path)

        assert f"dataset version {data} is not what it was" in reason
        assert f"{data.digest[:12]} then, {tree_digest(manifest)[:12]} now" in reason

    def test_names_settings_that_changed(self, waiting, tmp_path):
        revision = waiting.model_versions.get().config_revision
        ConfigRevision.objects.filter(pk=revision.pk).update(spec={**revision.spec, "seed": 99})

        assert f"configuration {revision} is not what it was" in ended(waiting, tmp_path)

    def test_refuses_stored_files_that_are_damaged(self, waiting, version, tmp_path):
        entry = version.dataset_version.manifest["train/part-00000.jsonl"] if (
            "train/part-00000.jsonl" in version.dataset_version.manifest
        ) else next(iter(version.dataset_version.manifest.values()))  # fmt: skip
        path = blob_path(entry["sha256"])
        whole = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(b"x" * len(whole))
        kind, params = kind_of(waiting)
        try:
            with pytest.raises(BlobMissing, match="damaged"):
                job_load(kind=kind, params=params, job=waiting, folder=tmp_path / "in")
        finally:
            path.write_bytes(whole)


class TestOthers:
    def test_an_evaluation_of_a_version_quarantined_since(self, ana, version, tmp_path):
        job = evaluation_start(actor=ana, version=version, dataset_version=version.dataset_version)
        version_quarantine(actor=ana, version=version, reason="Leaks addresses")

        reason = ended(job, tmp_path)

        assert reason == f"The model version {version} can no longer be used: it was quarantined."

    def test_a_base_version_quarantined_since(self, ana, ben, version, tmp_path):
        spec = {**version.config_revision.spec, "preset": None, "tokenizer": "base"}
        from models_app.registry.services import training_start

        further = training_start(
            actor=ben, team=version.model.team, model=version.model,
            dataset_version=version.dataset_version, base_version=version, spec=spec,
        )  # fmt: skip
        version_quarantine(actor=ana, version=version, reason="Leaks addresses")

        assert "base version poet v1" in ended(further.produced_by, tmp_path)
        further.refresh_from_db()
        assert further.state == "failed"

    def test_a_file_of_the_import_directory_that_changed(self, ana, team, settings, tmp_path):
        settings.IMPORT_DIR = tmp_path / "import"
        settings.IMPORT_DIR.mkdir()
        file = settings.IMPORT_DIR / "a.txt"
        file.write_text("one two three\n\n" * 30)
        dataset = dataset_create(actor=ana, team=team, name="texts")
        job = version_import_path(actor=ana, dataset=dataset, path="a.txt").produced_by
        file.write_text("one two four!\n\n" * 30)

        assert [row["role"] for row in job.inputs] == ["file"]
        assert "The file a.txt is not what it was" in ended(job, tmp_path)

        again = version_import_path(actor=ana, dataset=dataset, path="a.txt").produced_by
        file.unlink()
        assert "The file a.txt is no longer there" in ended(again, tmp_path)

    def test_jobs_from_before_have_nothing_to_compare(self, waiting, tmp_path):
        waiting.inputs = []
        waiting.save(update_fields=["inputs"])

        assert run_job(waiting, tmp_path).state == "succeeded"


class TestPages:
    def test_a_run_shows_what_it_reads_and_its_lines(self, ben, waiting, tmp_path, client_for):
        page = client_for(ben).get(f"/jobs/{waiting.pk}/").content.decode()

        assert "What it reads" in page
        assert "/datasets/research/texts/" in page
        assert "/configs/research/training/poet/r2/" in page
