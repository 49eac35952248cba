"""Killed or stopped anywhere, a training ends with the very weights it would have had."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import WAIT_S
from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.settings import run_training, tiny_spec
from workers.lm.errors import CorruptCheckpoint, InvalidTraining, Stopped
from workers.lm.training.checkpoints import newest_valid_checkpoint

pytestmark = pytest.mark.nodb

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    events = Recorder()
    result = run_training(tmp_path_factory.mktemp("whole"), events)
    return result.files["model.safetensors"]["sha256"], events.series("loss"), result


def assert_same_end(uninterrupted, result, events):
    digest, losses, whole = uninterrupted
    assert result.files["model.safetensors"]["sha256"] == digest
    for step, loss in events.series("loss").items():
        assert loss == losses[step]
    assert result.validation_loss == whole.validation_loss
    assert result.best_step == whole.best_step


@pytest.mark.parametrize(
    ("how", "number", "resumed_at", "background"),
    [("step", 13, 10, "off"), ("saving", 2, 5, "off"), ("saving", 2, 5, "on")],
)
def test_killed_it_goes_on_bit_for_bit(
    tmp_path, uninterrupted, how, number, resumed_at, background
):
    name = "tests.workers.lm.training.killed"
    child = subprocess.run(
        [sys.executable, "-m", name, tmp_path, how, str(number), background],
        cwd=ROOT, capture_output=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert child.returncode == -9, child.stderr.decode()
    folder = tmp_path / "checkpoints"
    if how == "saving":
        assert any(".tmp-" in path.name for path in folder.iterdir())
    events = Recorder()
    result = run_training(tmp_path, events, resume_from=folder, attempt=2)
    assert min(events.series("loss")) == resumed_at + 1
    assert not any(".tmp-" in path.name for path in folder.iterdir())
    assert_same_end(uninterrupted, result, events)


@pytest.mark.parametrize("questions", [1, 3, 7, 14, 21])
def test_stopped_it_saves_and_goes_on_bit_for_bit(tmp_path, uninterrupted, questions):
    first = Recorder(stop_after=questions)
    with pytest.raises(Stopped) as caught:
        run_training(tmp_path, first)
    assert caught.value.step == max(first.series("loss"), default=0)
    newest = newest_valid_checkpoint(tmp_path / "checkpoints")
    assert caught.value.checkpoint == (newest.path if newest else None)
    events = Recorder()
    result = run_training(tmp_path, events, resume_from=tmp_path / "checkpoints", attempt=2)
    assert min(events.series("loss")) == caught.value.step + 1
    assert_same_end(uninterrupted, result, events)


def test_torn_newest_is_reported_and_passed_over(tmp_path, uninterrupted):
    run_training(tmp_path, Recorder())
    newest = tmp_path / "checkpoints" / "step-000020.a1"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    events = Recorder()
    result = run_training(tmp_path, events, resume_from=tmp_path / "checkpoints", attempt=2)
    assert min(events.series("loss")) == 16
    assert any("step-000020.a1" in text for level, text in events.lines if level == "warning")
    assert_same_end(uninterrupted, result, events)
    with pytest.raises(CorruptCheckpoint):
        run_training(tmp_path, Recorder(), resume_from=newest)


def test_from_any_checkpoint_and_after_the_last_step(tmp_path, uninterrupted):
    run_training(tmp_path, Recorder(), tiny_spec(keep_checkpoints=9))
    folder = tmp_path / "checkpoints"
    for name, first in (("step-000005.a1", 6), ("step-000020.a1", None)):
        events = Recorder()
        result = run_training(tmp_path, events, resume_from=folder / name, attempt=2)
        assert min(events.series("loss"), default=None) == first
        assert_same_end(uninterrupted, result, events)
    with pytest.raises(InvalidTraining, match="already") as caught:
        run_training(
            tmp_path, Recorder(), tiny_spec(steps=19), resume_from=folder / "step-000020.a1"
        )
    assert caught.value.field == "steps"


def test_more_steps_go_on_from_the_last(tmp_path):
    run_training(tmp_path, Recorder())
    events = Recorder()
    spec = tiny_spec(steps=25)
    result = run_training(tmp_path, events, spec, resume_from=tmp_path / "checkpoints", attempt=2)
    assert list(events.series("loss")) == [21, 22, 23, 24, 25]
    assert result.steps == 25


def test_other_settings_than_the_checkpoint_are_refused_with_what_differs(tmp_path):
    run_training(tmp_path, Recorder(), tiny_spec(steps=5))
    folder = tmp_path / "checkpoints"
    other = tiny_spec(learning_rate=5e-3, seed=4, steps=6, log_every=2, keep_checkpoints=1)
    with pytest.raises(InvalidTraining) as caught:
        run_training(tmp_path, Recorder(), other, resume_from=folder, attempt=2)

    assert caught.value.field == "learning_rate"
    assert caught.value.message == (
        "The checkpoint step-000005.a1 was written by a training with other settings: "
        "learning_rate was 0.01, now 0.005; seed was 1337, now 4. Set them back, or begin anew."
    )
    free = tiny_spec(steps=6, log_every=2, keep_checkpoints=1, activation_checkpointing=True)
    assert run_training(tmp_path, Recorder(), free, resume_from=folder, attempt=2).steps == 6
