"""A training that no longer improves ends; the version gets the last or the best weights."""

import json

import pytest

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.distributed.settings import run, spec_of
from tests.workers.lm.training.settings import StopAt, run_training, tiny_spec
from workers.lm.errors import InvalidTraining, Stopped
from workers.lm.training import trainer
from workers.lm.training.checkpoints import newest_valid_checkpoint

pytestmark = pytest.mark.nodb

#: What the looks at steps 0, 2, 4, … are made to find.
COURSE = [5.0, 4.0, 3.0, 3.5, 2.95, 3.6, 3.7, 3.8, 1.0, 0.5]
EVERY = {"evaluate_every": 2, "checkpoint_every": 3, "patience": 3, "keep_checkpoints": 1}


@pytest.fixture
def course(monkeypatch):
    """Losses that are told in advance; the model itself is trained as ever."""
    real = trainer.validation_loss

    def told(model, batches, precision, parallel):
        real(model, batches, precision, parallel)
        return COURSE[told.step() // 2]

    def remember(self, *args, **options):
        init(self, *args, **options)
        told.step = lambda: self.progress.step

    init = trainer.Trainer.__init__
    monkeypatch.setattr(trainer.Trainer, "__init__", remember)
    monkeypatch.setattr(trainer, "validation_loss", told)


def test_it_ends_with_a_version_and_says_why(tmp_path, course):
    events = Recorder()
    result = run_training(tmp_path, events, tiny_spec(**EVERY))

    assert (result.steps, result.stopped_early, result.published_step) == (14, 1, 14)
    assert (result.best_step, result.validation_loss) == (8, 3.8)
    assert result.tokens_seen == 14 * 8 * 16
    assert any(
        text == "Ending early at step 14 of 20: the validation loss has not improved in 3 looks. "
        "Its best was 2.9500 at step 8." for _, text in events.lines
    )  # fmt: skip
    assert events.progresses[-1]["percent"] == 100.0
    assert events.checkpoints[-1]["step"] == 14
    facts = json.loads((tmp_path / "out" / "training.json").read_text())["result"]
    assert (facts["steps"], facts["stopped_early"], facts["best_step"]) == (14, 1, 8)


def test_what_improves_too_little_does_not_count(tmp_path, course):
    result = run_training(tmp_path, Recorder(), tiny_spec(**EVERY, min_improvement=0.1))

    assert (result.steps, result.best_step) == (10, 8)


def test_the_best_weights_are_published(tmp_path, course):
    result = run_training(tmp_path, Recorder(), tiny_spec(**EVERY, publish="best"))
    # The rate depends on the number of steps: these are the same eight.
    eight = tiny_spec(**{**EVERY, "steps": 8}, schedule_steps=20)
    same = run_training(tmp_path / "same", Recorder(), eight)

    assert (result.published_step, result.validation_loss, result.steps) == (8, 2.95, 14)
    assert result.files["model.safetensors"] == same.files["model.safetensors"]
    assert not any(".tmp-" in path.name for path in (tmp_path / "checkpoints").iterdir())


def test_stopped_on_the_way_it_publishes_the_same(tmp_path, course):
    spec = tiny_spec(**EVERY, publish="best")
    whole = run_training(tmp_path / "whole", Recorder(), spec)
    with pytest.raises(Stopped):
        run_training(tmp_path, StopAt(11), spec)
    # Elsewhere only the newest checkpoint is at hand.
    newest = newest_valid_checkpoint(tmp_path / "checkpoints")
    newest.path.rename(tmp_path / newest.path.name)
    again = run_training(
        tmp_path, Recorder(), spec, resume_from=tmp_path / newest.path.name, attempt=2
    )

    assert again.files["model.safetensors"] == whole.files["model.safetensors"]
    assert (again.steps, again.published_step) == (14, 8)


def test_with_more_patience_it_goes_on(tmp_path, course):
    run_training(tmp_path, Recorder(), tiny_spec(**EVERY))
    options = {"resume_from": tmp_path / "checkpoints", "attempt": 2}
    same = run_training(tmp_path, Recorder(), tiny_spec(**EVERY), **options)
    more = run_training(
        tmp_path, Recorder(), tiny_spec(**{**EVERY, "patience": 9, "steps": 18}), **options
    )

    assert (same.steps, same.stopped_early) == (14, 1)
    assert (more.steps, more.stopped_early, more.best_step) == (18, 0, 18)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_several_processes_publish_the_best(tmp_path, course, way):
    spec = {**EVERY, "publish": "best", "learning_rate": 1e-3}
    result, _ = run(tmp_path, spec_of(2, way, **spec))
    best, _ = run(tmp_path / "best", spec_of(2, way, **{**spec, "steps": 8, "schedule_steps": 20}))

    assert (result.steps, result.stopped_early, result.published_step) == (14, 1, 8)
    assert result.files["model.safetensors"] == best.files["model.safetensors"]


def test_patience_without_looks_is_refused():
    with pytest.raises(InvalidTraining) as caught:
        tiny_spec(patience=2, evaluate_every=0).check()
    assert caught.value.field == "patience"
