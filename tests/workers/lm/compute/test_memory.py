"""The memory estimate needs no torch and moves the right way."""

import subprocess
import sys

import pytest

from workers.lm.compute.memory import available_bytes, cache_bytes, estimate, resident_bytes
from workers.lm.families.presets import PRESETS

pytestmark = pytest.mark.nodb


def test_estimate_and_settings_load_no_torch():
    code = (
        "import sys, workers.lm.compute.memory, workers.lm.families.presets,"
        "workers.lm.training.spec, workers.lm.errors, workers.lm.events;"
        "sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_estimate_adds_up_and_follows_the_batch():
    config = PRESETS["gpt2-5m"].config()
    small, large = estimate(config, 4, 256), estimate(config, 8, 256)
    assert small.optimizer == 2 * small.weights == 2 * small.gradients == 8 * small.parameters
    assert large.activations == 2 * small.activations
    assert estimate(config, 8, 256, gradient_accumulation=2) == small
    assert estimate(config, 8, 256, training=False).total < large.total
    assert small.to_dict()["total"] == small.total


def test_this_machine_tells_its_memory():
    assert resident_bytes() > 10 * 2**20
    assert (available_bytes() or 1) > 0


def test_dropout_keeps_the_attention_weights():
    config = PRESETS["gpt2-5m"].config()
    without, with_dropout = (estimate(config, 16, 256, dropout=share) for share in (0.0, 0.1))
    assert with_dropout.activations > 1.5 * without.activations


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),
        ("llama", {"num_key_value_heads": 4}),
        ("llama", {"num_key_value_heads": 1}),
        ("llama", {"num_key_value_heads": 2, "head_dim": 24}),
        ("qwen2", {"num_key_value_heads": 2}),
        ("gpt_neox", {}),
    ],
)
def test_the_cache_of_a_context_is_what_serving_allocates(kind, changes):
    from tests.workers.lm.inference import tiny
    from workers.lm.inference.probe import choose_runner

    model = tiny.model(kind, **changes)

    runner, _why = choose_runner(model, context_length=96, max_slots=3, prefill_chunk=32)

    assert runner.cache.bytes == 3 * cache_bytes(model.config.to_dict(), 96)
