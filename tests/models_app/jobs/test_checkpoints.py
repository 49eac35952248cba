"""Checkpoints as stored files: fenced, whole, and the newest is never let go of."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from django.db.models.functions import Now

from models_app.core.blobs import blob_path
from models_app.core.errors import StaleEpoch
from models_app.jobs.attempts import checkpoint_record, checkpoints_forget
from models_app.jobs.checkpoints import (
    checkpoint_adopt,
    checkpoint_folder,
    checkpoint_keep,
    checkpoint_lay,
    checkpoints_release,
)
from models_app.jobs.models import Checkpoint, Job
from models_app.jobs.pinning import checkpoint_pin, checkpoint_unpin
from tests.factories.jobs import claimed, expire
from tests.factories.logs import end

pytestmark = pytest.mark.django_db
MANIFEST = {"step-1/a": {"sha256": "0" * 64, "size": 1}}


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def job(team):
    return claimed(team)


def recorded(job, step: int) -> Checkpoint:
    """A checkpoint on this disk, as a child reports it."""
    path = checkpoint_folder(job.pk) / f"step-{step:06d}.a{job.epoch}"
    path.mkdir(parents=True)
    (path / "model.bin").write_bytes(b"weights" * step)
    (path / "state.json").write_text("{}")
    told = {"step": step, "path": str(path), "digest": "0" * 64, "size_bytes": 1, "metrics": {}}
    checkpoint_record(job=job, checkpoint=told)
    return Checkpoint.objects.get(job=job, step=step, epoch=job.epoch)


def stored_steps(job) -> list[int]:
    rows = Checkpoint.objects.filter(job=job).exclude(manifest={}).order_by("step")
    return list(rows.values_list("step", flat=True))


class TestKeep:
    def test_only_the_newest_stays_in_the_store(self, job):
        for step in (1, 2, 3):
            recorded(job, step)
        assert checkpoint_keep(job=job, step=1, manifest=MANIFEST)
        assert checkpoint_keep(job=job, step=3, manifest=MANIFEST)

        assert stored_steps(job) == [3]

    def test_is_refused_to_an_attempt_that_lost_its_lease(self, job):
        recorded(job, 1)
        expire(job)

        with pytest.raises(StaleEpoch):
            checkpoint_keep(job=job, step=1, manifest=MANIFEST)
        assert stored_steps(job) == []

    def test_of_a_forgotten_one_changes_nothing(self, job):
        assert not checkpoint_keep(job=job, step=9, manifest=MANIFEST)

    def test_the_newest_in_the_store_is_not_forgotten_by_a_node_without_its_disk(self, job):
        for step in (1, 2):
            recorded(job, step)
            checkpoint_keep(job=job, step=step, manifest=MANIFEST)
        recorded(job, 3)
        checkpoints_forget(job=job, exists=lambda path: False)

        assert list(Checkpoint.objects.values_list("step", flat=True)) == [2]

    def test_is_let_go_of_a_while_after_the_end(self, job, team):
        other = claimed(team)
        for one in (job, other):
            recorded(one, 1)
            checkpoint_keep(job=one, step=1, manifest=MANIFEST)
        Job.objects.filter(pk=job.pk).update(
            state="succeeded", lease_until=None, finished_at=Now() - dt.timedelta(days=2)
        )

        assert checkpoints_release() == 1
        assert (stored_steps(job), stored_steps(other)) == ([], [1])


class TestAdopt:
    def test_makes_blobs_of_files_on_this_disk_without_copies(self, job, tmp_path):
        row = recorded(job, 1)
        assert checkpoint_adopt(row.pk)
        row.refresh_from_db()

        name = "step-000001.a1"
        assert set(row.manifest) == {f"{name}/model.bin", f"{name}/state.json"}
        blob = blob_path(row.manifest[f"{name}/model.bin"]["sha256"])
        assert blob.samefile(checkpoint_folder(job.pk) / name / "model.bin")
        assert not list(checkpoint_folder(job.pk).glob(".*"))
        checkpoint_lay(row.manifest, tmp_path / "elsewhere", name)
        assert (tmp_path / "elsewhere" / name / "model.bin").read_bytes() == b"weights"

    def test_is_done_once(self, job):
        row = recorded(job, 1)
        Checkpoint.objects.update(manifest=MANIFEST)

        assert checkpoint_adopt(row.pk)
        assert Checkpoint.objects.get().manifest == MANIFEST

    @pytest.mark.parametrize("path", ["/etc", "{folder}/../../run", "{folder}/.hidden", "{folder}"])
    def test_takes_nothing_from_elsewhere(self, job, path):
        row = recorded(job, 1)
        Checkpoint.objects.update(path=path.format(folder=checkpoint_folder(job.pk)))

        assert not checkpoint_adopt(row.pk)

    def test_of_what_is_on_another_disk_is_refused(self, job):
        row = recorded(job, 1)
        Checkpoint.objects.update(path=str(checkpoint_folder(job.pk) / "step-000009.a1"))

        assert not checkpoint_adopt(row.pk)
        assert not checkpoint_adopt(row.pk + 1)

    def test_follows_no_links(self, job, tmp_path):
        row = recorded(job, 1)
        secret = tmp_path / "secret"
        secret.write_text("not yours")
        (checkpoint_folder(job.pk) / "step-000001.a1" / "link").symlink_to(secret)

        with pytest.raises(Exception, match="link or a special file"):
            checkpoint_adopt(row.pk)


class TestPinned:
    def test_stay_whatever_retention_and_the_end_of_the_job_take(self, job, ana):
        for step in (1, 2, 3):
            recorded(job, step)
        row = checkpoint_pin(actor=ana, checkpoint=Checkpoint.objects.get(job=job, step=1))

        checkpoint_keep(job=job, step=3, manifest=MANIFEST)
        shutil.rmtree(checkpoint_folder(job.pk))
        checkpoints_forget(job=job, exists=lambda path: Path(path).exists())
        end(job)
        Job.objects.filter(pk=job.pk).update(finished_at=Now() - dt.timedelta(days=9))
        checkpoints_release()

        assert stored_steps(job) == [1]
        assert all(blob_path(one["sha256"]).exists() for one in row.manifest.values())
        checkpoint_unpin(actor=ana, checkpoint=row)
        checkpoints_release()
        assert stored_steps(job) == []
