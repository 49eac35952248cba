"""Steps that diverge end the training, are left out, or make it go back."""

import pytest

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.distributed.settings import run, spec_of
from tests.workers.lm.training.poison import StopAfter, poison
from tests.workers.lm.training.settings import run_training, tiny_spec
from workers.lm.errors import InvalidTraining, Stopped, TrainingDiverged

pytestmark = pytest.mark.nodb


def warnings(events):
    return [text for level, text in events.lines if level == "warning"]


def digest(result):
    return result.files["model.safetensors"]["sha256"]


def test_stopping_names_the_step(tmp_path, monkeypatch):
    poison(monkeypatch, 12)
    with pytest.raises(TrainingDiverged, match="step 13: the loss is not a finite") as caught:
        run_training(tmp_path, Recorder(), tiny_spec(on_divergence="stop", log_every=5))
    assert caught.value.step == 13


def test_an_update_that_is_left_out_leaves_no_trace(tmp_path, monkeypatch):
    poison(monkeypatch, 7)
    events = Recorder()
    run_training(tmp_path, events, tiny_spec(steps=8, log_every=4, dropout=0.0, schedule_steps=20))

    assert warnings(events) == [
        "Step 8: the loss is not a finite number. Its update was left out (1 of 5 within 1,000 "
        "steps)."
    ]
    assert events.series("skipped_steps") == {8: 1.0}
    # Seven steps: neither weights nor moments know of the eighth.
    seven = run_training(
        tmp_path / "seven", Recorder(), tiny_spec(steps=7, dropout=0.0, schedule_steps=20)
    )
    eight = run_training(
        tmp_path, Recorder(), tiny_spec(steps=8, dropout=0.0, schedule_steps=20),
        resume_from=tmp_path / "checkpoints", attempt=2, name="again",
    )  # fmt: skip
    assert (eight.steps, eight.skipped_steps, digest(eight)) == (8, 1, digest(seven))


def test_it_goes_on_after_a_step_was_left_out(tmp_path, monkeypatch):
    taken, events = poison(monkeypatch, 7), Recorder()
    result = run_training(tmp_path / "whole", events)
    assert result.steps == 20
    assert result.skipped_steps == 1
    assert events.series("loss")[8] == events.series("loss")[7]  # the newest that counted

    with pytest.raises(Stopped):
        run_training(tmp_path, StopAfter(taken, 9))
    again = run_training(tmp_path, Recorder(), resume_from=tmp_path / "checkpoints", attempt=2)
    assert (digest(again), again.skipped_steps) == (digest(result), 1)


def test_too_many_end_it(tmp_path, monkeypatch):
    poison(monkeypatch, 3, 5, 6)
    with pytest.raises(TrainingDiverged, match=r"step 7: .* 3 times within 1,000 steps"):
        run_training(tmp_path, Recorder(), tiny_spec(divergence_budget=2))


@pytest.mark.parametrize("how", ["stop", "skip"])
def test_a_loss_that_leaps_is_a_spike(tmp_path, monkeypatch, how):
    poison(monkeypatch, 19, factor=30.0)
    events = Recorder()
    spec = tiny_spec(on_divergence=how, spike_factor=3.0, steps=22)
    if how == "stop":
        with pytest.raises(TrainingDiverged, match="step 20: the loss leapt far above"):
            run_training(tmp_path, events, spec)
    else:
        assert run_training(tmp_path, events, spec).skipped_steps == 1
        assert warnings(events)[0].startswith("Step 20: the loss leapt far above")


def test_going_back_passes_over_the_batches_up_to_the_bad_one(tmp_path, monkeypatch):
    taken = poison(monkeypatch, 12)
    events = Recorder()
    spec = tiny_spec(on_divergence="rewind", log_every=2, checkpoint_every=5)
    result = run_training(tmp_path, events, spec)

    # The checkpoint is of step 10; batches 10 to 12 are passed over, and 13 more steps are left.
    assert taken == [*range(14), *range(13, 23)]
    assert (result.steps, result.rewinds, result.skipped_steps) == (20, 1, 0)
    assert events.series("rewinds") == {10: 1.0}
    assert warnings(events) == [
        "Step 13: the loss is not a finite number. Going back to step 10 and on with other "
        "batches; 3 are passed over (1 of 5 within 1,000 steps)."
    ]


@pytest.mark.parametrize("steps", [11, 14])
def test_stopped_around_going_back_it_ends_with_the_same_weights(tmp_path, monkeypatch, steps):
    taken = poison(monkeypatch, 12)
    spec = tiny_spec(on_divergence="rewind", log_every=5, checkpoint_every=5, spike_factor=50.0)
    whole = run_training(tmp_path / "whole", Recorder(), spec)
    with pytest.raises(Stopped):
        run_training(tmp_path, StopAfter(taken, steps), spec)
    again = run_training(
        tmp_path, Recorder(), spec, resume_from=tmp_path / "checkpoints", attempt=2
    )

    assert (digest(again), again.rewinds) == (digest(whole), 1)
    assert again.validation_loss == whole.validation_loss


def test_before_the_first_checkpoint_it_goes_back_to_the_beginning(tmp_path, monkeypatch):
    taken = poison(monkeypatch, 2, 4)
    spec = tiny_spec(on_divergence="rewind", steps=6, checkpoint_every=6, keep_checkpoints=1)
    events = Recorder()
    result = run_training(tmp_path, events, spec)

    assert taken == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (result.steps, result.rewinds) == (6, 2)
    assert [one["step"] for one in events.checkpoints] == [0, 6]


def test_a_training_that_only_diverges_ends(tmp_path, monkeypatch):
    poison(monkeypatch, *range(4, 1000))
    with pytest.raises(TrainingDiverged, match="3 times"):
        run_training(tmp_path, Recorder(), tiny_spec(on_divergence="rewind", divergence_budget=2))


@pytest.mark.parametrize(
    ("way", "changes"),
    [
        ("ddp", {"on_divergence": "rewind", "spike_factor": 50.0}),
        ("fsdp", {"on_divergence": "skip"}),
        ("tensor", {"on_divergence": "rewind"}),
    ],
)
def test_several_processes_decide_the_same(tmp_path, monkeypatch, way, changes):
    poison(monkeypatch, 6)
    spec = {"steps": 10, "checkpoint_every": 4, "log_every": 3, "learning_rate": 1e-3, **changes}
    alone, told = run(tmp_path / "one", spec_of(**spec))
    together, heard = run(tmp_path / "two", spec_of(2, way, **spec))

    assert (together.rewinds, together.skipped_steps) == (alone.rewinds, alone.skipped_steps)
    assert alone.rewinds + alone.skipped_steps == 1
    assert heard.series("loss").keys() == told.series("loss").keys()
    for step, loss in told.series("loss").items():
        assert heard.series("loss")[step] == pytest.approx(loss, abs=5e-6)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("on_divergence", {"on_divergence": "ignore"}),
        ("on_divergence", {"on_divergence": "rewind", "checkpoint_every": 0}),
        ("spike_factor", {"spike_factor": 0.5}),
        ("spike_factor", {"spike_factor": float("nan")}),
        ("divergence_budget", {"divergence_budget": -1}),
    ],
)
def test_nonsense_is_refused(field, changes):
    with pytest.raises(InvalidTraining) as caught:
        tiny_spec(**changes).check()
    assert caught.value.field == field
