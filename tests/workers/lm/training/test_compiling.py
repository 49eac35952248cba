"""Compiling the model where that pays, and going on in the manner of the checkpoint."""

import json

import pytest
import torch

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.distributed.settings import run, spec_of
from tests.workers.lm.training.settings import StopAt, run_training, tiny_spec
from workers.lm.errors import InvalidTraining, Stopped
from workers.lm.training import compiling, manner

pytestmark = pytest.mark.nodb

SHORT = {"steps": 6, "checkpoint_every": 3, "evaluate_every": 3}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The compiler's first half, which takes no compiler of C++ and gives the same bits."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    yield
    torch._dynamo.reset()


def recorded(root):
    return json.loads((root / "out" / "training.json").read_text())["manner"]


def texts(events, level="info"):
    return [text for one, text in events.lines if one == level]


def test_it_is_compiled_and_says_so(tmp_path):
    eager, events = Recorder(), Recorder()
    run_training(tmp_path / "eager", eager, tiny_spec(**SHORT))
    run_training(tmp_path, events, tiny_spec(**SHORT, compile="on"))

    assert "The model is compiled." in texts(events)
    assert recorded(tmp_path) == {"precision": "fp32", "compiled": True}
    assert recorded(tmp_path / "eager") == {"precision": "fp32", "compiled": False}
    assert events.series("loss") == pytest.approx(eager.series("loss"), abs=1e-4)


def test_going_on_keeps_the_manner_of_the_checkpoint(tmp_path):
    spec = tiny_spec(**SHORT, compile="on", precision="bf16")
    whole = run_training(tmp_path / "whole", Recorder(), spec)
    with pytest.raises(Stopped):
        run_training(tmp_path, StopAt(3), spec)
    events = Recorder()
    result = run_training(
        tmp_path, events, tiny_spec(**SHORT, compile="off", precision="bf16"),
        resume_from=tmp_path / "checkpoints", attempt=2,
    )  # fmt: skip

    assert "The model is compiled." in texts(events)
    assert recorded(tmp_path) == {"precision": "bf16", "compiled": True}
    assert result.files["model.safetensors"] == whole.files["model.safetensors"]


def test_a_compiler_that_fails_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "no_such_backend")
    eager, events = Recorder(), Recorder()
    whole = run_training(tmp_path / "eager", eager, tiny_spec(**SHORT))
    result = run_training(tmp_path, events, tiny_spec(**SHORT, compile="on"))

    assert any("trained without compiling it" in text for text in texts(events, "warning"))
    assert recorded(tmp_path)["compiled"] is False
    assert result.files["model.safetensors"] == whole.files["model.safetensors"]


@pytest.mark.parametrize(("faster", "compiled"), [(2.0, True), (0.9, False)])
def test_auto_measures_once_for_a_node(tmp_path, monkeypatch, faster, compiled):
    passes = []

    def seconds(trial, model):
        """A minute as it is, another time translated."""
        trial.run(model)
        passes.append(model)
        return 60.0 if len(passes) % 2 else 60.0 / faster

    monkeypatch.setattr(compiling, "_seconds", seconds)
    spec = tiny_spec(**SHORT, compile="auto")
    run_training(tmp_path / "1", Recorder(), spec, node_dir=tmp_path / "node")
    tried = len(passes)
    run_training(tmp_path / "2", Recorder(), spec, node_dir=tmp_path / "node")

    assert tried == 2
    assert len(passes) == 3  # the second training knows what compiling brings
    assert recorded(tmp_path / "1")["compiled"] is recorded(tmp_path / "2")["compiled"] is compiled
    [known] = json.loads((tmp_path / "node" / "compiling.json").read_text()).values()
    assert known["gain"] == pytest.approx(faster)


def test_auto_does_not_even_try_for_a_short_training(tmp_path):
    events = Recorder()
    run_training(tmp_path, events, tiny_spec(**SHORT, compile="auto"), node_dir=tmp_path / "node")

    assert recorded(tmp_path)["compiled"] is False
    assert not (tmp_path / "node").exists()
    assert any("longer than it could save" in text for text in texts(events, "debug"))


def test_precision_is_left_to_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(manner, "bf16_pays", lambda device: True)
    run_training(tmp_path, Recorder(), tiny_spec(**SHORT, precision="auto"))
    monkeypatch.setattr(manner, "bf16_pays", lambda device: False)
    events = Recorder()
    run_training(
        tmp_path, events, tiny_spec(**{**SHORT, "steps": 8}, precision="auto"),
        resume_from=tmp_path / "checkpoints", attempt=2,
    )  # fmt: skip

    assert recorded(tmp_path)["precision"] == "bf16"
    run_training(tmp_path / "other", Recorder(), tiny_spec(**SHORT, precision="auto"))
    assert recorded(tmp_path / "other")["precision"] == "fp32"


def test_two_processes_compile_too(tmp_path):
    _, told = run(tmp_path / "1", spec_of(**SHORT, learning_rate=1e-3))
    _, heard = run(tmp_path / "2", spec_of(2, **SHORT, learning_rate=1e-3, compile="on"))

    assert heard.series("loss") == pytest.approx(told.series("loss"), abs=5e-6)


@pytest.mark.parametrize(
    "changes", [{"processes": 2, "parallel": "fsdp"}, {"loss_on": "answers"}, {"compile": "yes"}]
)
def test_what_cannot_be_compiled_is_refused(changes):
    with pytest.raises(InvalidTraining) as caught:
        tiny_spec(**{"compile": "on", **changes}).check()
    assert caught.value.field == "compile"
