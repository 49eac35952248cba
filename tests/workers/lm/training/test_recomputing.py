"""Activations that are computed again: the same losses, less memory, more work."""

import pytest

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.conversations import adapter_spec, answering_spec, run_on
from tests.workers.lm.training.distributed.settings import LLAMA, run, spec_of
from tests.workers.lm.training.settings import ARCHITECTURE, run_training, tiny_spec
from workers.lm.compute.flops import step_work
from workers.lm.compute.memory import estimate

pytestmark = pytest.mark.nodb

AGAIN = {"activation_checkpointing": True}
SHORT = {"steps": 6, "checkpoint_every": 0, "learning_rate": 1e-3}


@pytest.mark.parametrize("shape", [ARCHITECTURE, LLAMA])
def test_the_losses_are_the_same_also_with_dropout(tmp_path, shape):
    told, again = Recorder(), Recorder()
    run_training(tmp_path / "1", told, tiny_spec(architecture=shape, **SHORT))
    run_training(tmp_path / "2", again, tiny_spec(architecture=shape, **SHORT, **AGAIN))

    assert again.series("loss") == pytest.approx(told.series("loss"), abs=1e-6)
    assert again.series("validation_loss") == pytest.approx(
        told.series("validation_loss"), abs=1e-6
    )


@pytest.mark.parametrize("way", ["fsdp", "tensor"])
def test_several_processes_do_it_too(tmp_path, way):
    _, told = run(tmp_path / "1", spec_of(**SHORT))
    _, heard = run(tmp_path / "2", spec_of(2, way, **SHORT, **AGAIN))

    assert heard.series("loss") == pytest.approx(told.series("loss"), abs=5e-6)


def test_adapters_do_it_too(tmp_path):
    run_on(tmp_path / "base", Recorder(), answering_spec(steps=4))
    told = []
    for changes in ({}, AGAIN):
        events = Recorder()
        root = tmp_path / str(bool(changes))
        run_on(root, events, adapter_spec(**SHORT, **changes),
               base_dir=tmp_path / "base" / "out")  # fmt: skip
        told.append(events.series("loss"))

    assert told[0] == pytest.approx(told[1], abs=1e-6)


def test_the_estimate_knows_of_it():
    shape = {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8,
             "num_attention_heads": 8, "intermediate_size": 2048, "vocab_size": 1000}  # fmt: skip
    usual, less = (estimate(shape, 8, 512, recomputed=again) for again in (False, True))
    work, more = (step_work(shape, 8, 512, recomputed=again) for again in (False, True))

    assert less.activations < usual.activations / 3
    assert (less.weights, less.optimizer) == (usual.weights, usual.optimizer)
    assert 1.3 < more.flops / work.flops < 1.34
    assert estimate(shape, 8, 512, copied=True).total - usual.total == 12 * usual.parameters
