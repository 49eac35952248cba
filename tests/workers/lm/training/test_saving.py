"""Checkpoints that are written beside the training are those that are written in it."""

import errno
import threading

import pytest

from tests.waiting import WAIT_S
from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import adapter_spec, answering_spec, run_on
from tests.workers.lm.training.distributed.settings import LLAMA, run, spec_of
from tests.workers.lm.training.settings import StopAt, run_training, tiny_spec
from workers.lm.errors import CorruptCheckpoint, Stopped, TrainingDiverged
from workers.lm.training import saving, steps, trainer
from workers.lm.training.checkpoints import newest_valid_checkpoint, verify_checkpoint

pytestmark = pytest.mark.nodb


def contents(events):
    """Step and files with their digests of all checkpoints that were told of."""
    found = [verify_checkpoint(one["path"], one["digest"]) for one in events.checkpoints]
    return [(one.step, one.state["files"]) for one in found]


@pytest.mark.parametrize("shape", ["gpt2", "llama"])  # with tied weights, and without
def test_they_hold_the_same(tmp_path, shape):
    changes = {"keep_checkpoints": 9, **({"architecture": LLAMA} if shape == "llama" else {})}
    told, results = [], []
    for how in ("off", "on"):
        events = Recorder()
        spec = tiny_spec(checkpoint_in_background=how, **changes)
        results.append(run_training(tmp_path / how, events, spec))
        told.append(contents(events))

    assert [step for step, _ in told[0]] == [5, 10, 15, 20]
    assert told[0] == told[1]
    assert results[0].files["model.safetensors"] == results[1].files["model.safetensors"]


def test_those_of_adapters_too(tmp_path):
    run_on(tmp_path / "base", Recorder(), answering_spec(steps=4))
    told = []
    for how in ("off", "on"):
        events = Recorder()
        spec = adapter_spec(checkpoint_in_background=how, steps=10)
        run_on(tmp_path / how, events, spec, base_dir=tmp_path / "base" / "out")
        told.append(contents(events))

    assert told[0] == told[1]


def test_the_training_goes_on_while_one_is_written(tmp_path, monkeypatch):
    """The writing of step 5 waits for step 9, and what it writes is the state of step 5."""
    reached, events = threading.Event(), Recorder()
    write, loss = saving.save_file, steps.batch_loss
    seen = []

    def waiting(*args):
        if threading.current_thread() is not threading.main_thread():
            assert reached.wait(WAIT_S)
        write(*args)

    def counting(*args):
        seen.append(1)
        if len(seen) == 9:
            reached.set()
        return loss(*args)

    whole = Recorder()
    run_training(tmp_path / "whole", whole, tiny_spec(keep_checkpoints=9))
    monkeypatch.setattr(saving, "save_file", waiting)
    monkeypatch.setattr(steps, "batch_loss", counting)
    run_training(tmp_path, events, tiny_spec(checkpoint_in_background="on", keep_checkpoints=9))

    assert contents(events) == contents(whole)


def full(monkeypatch, after):
    """The disk is full from one checkpoint on."""
    write, calls = saving.write_checkpoint, []

    def failing(*args, **options):
        calls.append(1)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*args, **options)

    monkeypatch.setattr(saving, "write_checkpoint", failing)


@pytest.mark.parametrize("how", ["off", "on"])
def test_a_full_disk_ends_it_and_leaves_the_checkpoint_before(tmp_path, monkeypatch, how):
    full(monkeypatch, after=1)
    events = Recorder()
    with pytest.raises(OSError, match="No space left") as caught:
        run_training(tmp_path, events, tiny_spec(checkpoint_in_background=how, steps=5000))

    assert caught.value.errno == errno.ENOSPC
    assert 10 <= max(events.series("loss")) <= 15  # at the latest when the next one is due
    newest = newest_valid_checkpoint(tmp_path / "checkpoints")
    assert newest is not None and newest.step == 5
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000005.a1"]


def test_what_reads_back_otherwise_is_not_told_of(tmp_path, monkeypatch):
    real = saving.verify_checkpoint

    def lying_disk(path, digest):
        weights = path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
        return real(path, digest)

    monkeypatch.setattr(saving, "verify_checkpoint", lying_disk)
    events = Recorder()
    with pytest.raises(CorruptCheckpoint, match="differs from what was written"):
        run_training(tmp_path, events, tiny_spec(checkpoint_in_background="on"))
    assert events.checkpoints == []


@pytest.mark.parametrize("step", [5, 11])
def test_stopping_waits_until_it_is_written(tmp_path, step):
    spec = tiny_spec(checkpoint_in_background="on")
    whole = run_training(tmp_path / "whole", Recorder(), spec)
    events = StopAt(step)
    with pytest.raises(Stopped) as caught:
        run_training(tmp_path, events, spec)
    assert caught.value.checkpoint == events.checkpoints[-1]["path"]
    assert events.checkpoints[-1]["step"] == step
    again = run_training(
        tmp_path, Recorder(), spec, resume_from=tmp_path / "checkpoints", attempt=2
    )

    assert again.files["model.safetensors"] == whole.files["model.safetensors"]


def test_one_that_is_being_written_is_finished_when_the_training_fails(tmp_path, monkeypatch):
    write, count, failed = saving.save_file, trainer.count_look, threading.Event()

    def waiting(*args):
        assert failed.wait(WAIT_S)
        write(*args)

    def failing(spec, progress, loss):
        count(spec, progress, loss)
        if progress.step == 6:
            failed.set()
            raise TrainingDiverged(6, "validation loss")

    monkeypatch.setattr(saving, "save_file", waiting)
    monkeypatch.setattr(trainer, "count_look", failing)
    events = Recorder()
    spec = tiny_spec(checkpoint_in_background="on", evaluate_every=6)
    with pytest.raises(TrainingDiverged):
        run_training(tmp_path, events, spec)
    assert [step for step, _ in contents(events)] == [5]


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_several_processes_write_the_same(tmp_path, way):
    told = []
    for how in ("off", "on"):
        changes = {"steps": 8, "checkpoint_every": 4, "dropout": 0.1}
        spec = spec_of(2, way, checkpoint_in_background=how, **changes)
        _, heard = run(tmp_path / how, spec)
        heard.checkpoints = [
            {**one, "path": tmp_path / how / "checkpoints" / f"step-{one['step']:06d}.a1"}
            for one in heard.checkpoints
        ]
        told.append(contents(heard))

    assert told[0] == told[1]
