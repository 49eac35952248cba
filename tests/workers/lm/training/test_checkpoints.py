"""Checkpoints are whole or passed over."""

import pytest

from workers.lm.errors import CorruptCheckpoint
from workers.lm.training.checkpoints import (
    newest_valid_checkpoint,
    retain_checkpoints,
    sweep_unfinished,
    verify_checkpoint,
    write_checkpoint,
)

pytestmark = pytest.mark.nodb


def write(folder, step, attempt=1, loss=None, text="weights"):
    return write_checkpoint(
        folder,
        step=step,
        attempt=attempt,
        metrics={} if loss is None else {"validation_loss": loss},
        state={"seed": 1},
        fill=lambda aside: (aside / "model.safetensors").write_text(text * 10),
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_verified(tmp_path):
    written = write(tmp_path, 120, attempt=3, loss=2.0)
    assert written.path.name == "step-000120.a3"
    found = verify_checkpoint(written.path, expected_digest=written.digest)
    assert found == written
    assert (found.step, found.attempt, found.state["seed"]) == (120, 3, 1)
    assert found.size_bytes == sum(path.stat().st_size for path in found.path.iterdir())
    with pytest.raises(CorruptCheckpoint, match="not the checkpoint"):
        verify_checkpoint(written.path, expected_digest="0" * 64)


def cut(path):
    (path / "model.safetensors").write_text("weigh")


def flip(path):
    (path / "model.safetensors").write_text("Weights" * 10)


def lose(path):
    (path / "model.safetensors").unlink()


def add(path):
    (path / "more").write_text("x")


def no_manifest(path):
    (path / "state.json").unlink()


def half_manifest(path):
    (path / "state.json").write_text((path / "state.json").read_text()[:40])


@pytest.mark.parametrize("damage", [cut, flip, lose, add, no_manifest, half_manifest])
def test_torn_newest_falls_back_to_the_one_before(tmp_path, damage):
    older, newer = write(tmp_path, 5), write(tmp_path, 10)
    damage(newer.path)
    with pytest.raises(CorruptCheckpoint):
        verify_checkpoint(newer.path)
    torn = []
    found = newest_valid_checkpoint(tmp_path, lambda path, why: torn.append(path.name))
    assert found == older
    assert torn == ["step-000010.a1"]


def test_newest_is_by_step_then_attempt(tmp_path):
    assert newest_valid_checkpoint(tmp_path / "absent") is None
    for step, attempt in ((1_000_000, 1), (999_999, 4), (1_000_000, 2), (20, 11)):
        write(tmp_path, step, attempt)
    found = newest_valid_checkpoint(tmp_path)
    assert found is not None
    assert found.path.name == "step-1000000.a2"


def test_a_failed_write_leaves_the_earlier_one(tmp_path):
    before = write(tmp_path, 5)

    def fail(aside):
        (aside / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tmp_path, step=5, attempt=1, metrics={}, state={}, fill=fail)
    assert names(tmp_path) == ["step-000005.a1"]
    assert verify_checkpoint(before.path) == before
    again = write(tmp_path, 5, text="others")
    assert verify_checkpoint(before.path) == again != before


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, 2.5)):
        write(tmp_path, step, loss=loss)
    removed = retain_checkpoints(tmp_path, keep=2)
    assert [path.name for path in removed] == ["step-000001.a1", "step-000003.a1"]
    assert names(tmp_path) == ["step-000002.a1", "step-000004.a1", "step-000005.a1"]


def test_leftovers_of_earlier_attempts_are_swept(tmp_path):
    write(tmp_path, 5)
    for attempt in (1, 2, 3):
        (tmp_path / f"step-000010.a{attempt}.tmp-abc").mkdir()
    sweep_unfinished(tmp_path, attempt=2)
    assert names(tmp_path) == ["step-000005.a1", "step-000010.a3.tmp-abc"]
