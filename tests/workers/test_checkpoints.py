"""Checkpoints of a joined node: the newest one travels, beside the training and in both ways."""

import threading
from pathlib import Path

import pytest

from models_app.core.storage import fetching
from models_app.core.store import StoreUnavailable
from models_app.jobs.attempts import checkpoint_record
from models_app.jobs.checkpoints import checkpoint_folder
from models_app.jobs.models import Checkpoint
from tests.console.internal.conftest import console, console_process, node
from tests.factories.jobs import claimed, expire
from tests.waiting import WAIT_S
from tests.workers.conftest import wait_for
from workers import checkpoints
from workers.checkpoints import CheckpointSender, restore

__all__ = ["console", "console_process", "node"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def job(team, console):
    return claimed(team)


@pytest.fixture
def sender(job):
    made = CheckpointSender(job)
    yield made
    made.close()


def recorded(job, step: int, *, folder: Path | None = None) -> Checkpoint:
    """As a child wrote it and its supervisor recorded it."""
    path = (folder or checkpoint_folder(job.pk)) / f"step-{step:06d}.a{job.epoch}"
    path.mkdir(parents=True)
    (path / "model.bin").write_bytes(bytes([step]) * 300_000)
    (path / "state.json").write_text(f'{{"step": {step}}}')
    told = {"step": step, "path": str(path), "digest": "0" * 64, "size_bytes": 1, "metrics": {}}
    checkpoint_record(job=job, checkpoint=told)
    return Checkpoint.objects.get(job=job, step=step)


def stored(job) -> list[int]:
    return [row.step for row in Checkpoint.objects.filter(job=job) if row.manifest]


class TestSender:
    def test_brings_a_checkpoint_to_the_console(self, sender, job, console):
        row = recorded(job, 1)
        sender.offer(1, row.path)

        assert sender.settle(20)
        assert stored(job) == [1]
        row.refresh_from_db()
        for entry in row.manifest.values():
            assert console.blob(entry["sha256"]).stat().st_size == entry["size"]
        assert not list(checkpoint_folder(job.pk).glob(".send-*"))

    def test_skips_what_is_superseded_meanwhile(self, sender, job, monkeypatch):
        sent, going = [], threading.Event()

        def slowly(place):
            sent.append(next(place.iterdir()).name)
            assert going.wait(WAIT_S)
            return {"a": {"sha256": "0" * 64, "size": 1}}

        monkeypatch.setattr(checkpoints, "tree_send", slowly)
        for step in (1, 2, 3, 4):
            sender.offer(step, recorded(job, step).path)
            wait_for(lambda: sent, "the first is on its way")
        going.set()

        assert sender.settle(20)
        assert sent == ["step-000001.a1", "step-000004.a1"]
        assert stored(job) == [4]

    def test_does_not_hold_up_who_offers(self, sender, job, settings):
        settings.STORE_URL = "http://127.0.0.1:9"
        sender.offer(1, recorded(job, 1).path)

        assert not sender.settle(0.05)

    def test_tries_again_until_the_console_is_back(self, sender, job, settings, monkeypatch):
        monkeypatch.setattr(fetching, "PAUSE_S", 0.01)
        monkeypatch.setattr(checkpoints, "RETRY_S", 0.05)
        url, settings.STORE_URL = settings.STORE_URL, "http://127.0.0.1:9"
        sender.offer(1, recorded(job, 1).path)
        assert not sender.settle(1)
        settings.STORE_URL = url

        assert sender.settle(20)
        assert stored(job) == [1]

    def test_gives_way_to_retention(self, sender, job):
        row = recorded(job, 1)
        for file in Path(row.path).iterdir():
            file.unlink()
        Path(row.path).rmdir()
        sender.offer(1, row.path)

        assert sender.settle(20)
        assert stored(job) == []

    def test_ends_with_its_lease(self, sender, job):
        row = recorded(job, 1)
        expire(job)
        sender.offer(1, row.path)

        assert sender.settle(20)
        assert stored(job) == []

    def test_does_nothing_where_the_disk_is_shared(self, job, settings):
        settings.STORE_URL = ""
        sender = CheckpointSender(job)
        sender.offer(1, recorded(job, 1).path)

        assert sender.settle(0)
        assert stored(job) == []


class TestRestore:
    def test_fetches_the_newest_that_this_node_has_not_got(self, sender, job, settings, tmp_path):
        row = recorded(job, 2)
        sender.offer(2, row.path)
        assert sender.settle(20)
        recorded(job, 3)  # was not sent before its machine was lost
        settings.DATA_DIR = tmp_path / "another"
        (settings.DATA_DIR / "checkpoints").mkdir(parents=True)
        said = []
        restore(job, said.append)

        laid = checkpoint_folder(job.pk)
        assert [path.name for path in laid.iterdir()] == ["step-000002.a1"]
        assert (laid / "step-000002.a1" / "model.bin").read_bytes() == b"\x02" * 300_000
        assert len(said) == 1
        restore(job, said.append)
        assert len(said) == 1

    def test_asks_for_what_lies_on_the_console_s_disk(self, job, console):
        place = console.data_dir / "checkpoints" / f"job-{job.pk}"
        recorded(job, 5, folder=place)
        restore(job, lambda text: None)

        laid = checkpoint_folder(job.pk) / "step-000005.a1" / "state.json"
        assert laid.read_text() == '{"step": 5}'
        assert stored(job) == [5]

    def test_takes_an_older_one_where_the_newest_is_damaged(self, job, console):
        place = console.data_dir / "checkpoints" / f"job-{job.pk}"
        for step in (6, 7):
            recorded(job, step, folder=place)
        manifest = {"step-000007.a1/model.bin": {"sha256": "7" * 64, "size": 5}}
        Checkpoint.objects.filter(step=7).update(manifest=manifest)
        said = []
        restore(job, said.append)

        assert [path.name for path in checkpoint_folder(job.pk).iterdir()] == ["step-000006.a1"]
        assert "step 7 cannot be fetched" in said[0]

    def test_waits_for_a_console_that_is_away(self, job, settings, tmp_path):
        recorded(job, 1, folder=tmp_path / "elsewhere")
        settings.STORE_URL = "http://127.0.0.1:9"

        with pytest.raises(StoreUnavailable):
            restore(job, lambda text: None)

    def test_clears_what_a_killed_attempt_had_begun(self, job):
        left = checkpoint_folder(job.pk) / ".send-x"
        left.mkdir(parents=True)
        restore(job, lambda text: None)

        assert not left.exists()
