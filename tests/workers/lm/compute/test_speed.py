"""FLOPs and step times move the right way; measured advantages decide, not names of processors."""

import json
import subprocess
import sys

import pytest

from tests.factories.speed import RATES, SPEED
from workers.lm.compute.flops import step_work
from workers.lm.compute.memory import count_parameters
from workers.lm.compute.power import energy_joules
from workers.lm.compute.speed import bf16_pays, compile_pays, rates_of, read_speed
from workers.lm.compute.steptime import at_width, step_time
from workers.lm.families.presets import PRESETS

pytestmark = pytest.mark.nodb


def test_nothing_of_it_loads_torch():
    code = (
        "import sys, workers.lm.compute.flops, workers.lm.compute.steptime,"
        "workers.lm.compute.speed, workers.lm.compute.power;"
        "sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_parameters_are_those_of_the_real_model(name):
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    config = PRESETS[name].config()
    rest = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **rest))
    assert count_parameters(config) == sum(weight.numel() for weight in model.parameters())


class TestFlops:
    def test_are_six_for_a_weight_and_attention(self):
        """nanoGPT's formula for GPT-2 small at 1,024 tokens, whose positions are not multiplied."""
        config = PRESETS["gpt2-124m"].config()
        weights = count_parameters(config) - 1024 * 768
        biases_and_norms = 12 * (2 * 2 * 768 + 4 * 768 + 768 + 4 * 768 + 768) + 2 * 768
        work = step_work(config, 1, 1024)
        expected = 6 * (weights - biases_and_norms) + 12 * 12 * 768 * 1024
        # GPT-2's biases: query, key, value (3), projection (1), inner (4), outer (1).
        assert work.flops_per_token == pytest.approx(expected, rel=0.002)

    def test_follow_batch_and_length_and_not_accumulation(self):
        config = PRESETS["llama-5m"].config()
        one, two = step_work(config, 8, 128), step_work(config, 16, 128)
        assert two.flops == 2 * one.flops
        assert step_work(config, 8, 256).flops > 2 * one.flops
        parts = step_work(config, 8, 128, 4)
        assert parts.flops == one.flops
        assert parts.operators > 3 * one.operators

    def test_an_untied_head_is_the_same_work(self):
        config = PRESETS["llama-5m"].config()
        untied = {**config, "tie_word_embeddings": False}
        assert count_parameters(untied) > count_parameters(config)
        assert step_work(untied, 8, 128).product_flops == step_work(config, 8, 128).product_flops


class TestStepTime:
    def test_adds_up_and_falls_with_every_faster_part(self):
        work = step_work(PRESETS["gpt2-5m"].config(), 8, 256)
        base = step_time(work, RATES)
        assert base.seconds == pytest.approx(sum(vars(base).values()))
        for name in ("stream_gbps", "activation_meps", "loss_meps", "optimizer_gbps"):
            assert step_time(work, {**RATES, name: 2 * RATES[name]}).seconds < base.seconds
        assert step_time(work, {**RATES, "operator_us": 1.0}).seconds < base.seconds

    def test_small_models_are_bound_by_calls(self):
        small = step_time(step_work(PRESETS["gpt2-1m"].config(), 1, 8), RATES)
        large = step_time(step_work(PRESETS["gpt2-124m"].config(), 8, 1024), RATES)
        assert small.calls > small.products
        assert large.products > 0.5 * large.seconds

    def test_between_measured_widths_it_lies_between(self):
        table = {"64": 10.0, "256": 40.0}
        assert at_width(table, 128) == pytest.approx(20.0)
        assert at_width(table, 4096) == 40.0
        assert at_width(table, 32) == 5.0


class TestSpeed:
    def test_threads_that_were_not_measured_lie_between(self):
        many = {"threads": {"1": {"stream_gbps": 10.0}, "16": {"stream_gbps": 40.0}}}
        assert rates_of(many, 4)["stream_gbps"] == pytest.approx(20.0)
        assert rates_of(many, 64)["stream_gbps"] == 40.0
        with pytest.raises(KeyError):
            rates_of(many, 1, on_gpu=True)

    def test_more_threads_are_never_taken_for_slower(self):
        spoilt = {**RATES, "stream_gbps": 1.0, "operator_us": 900.0, "memory_gbps": 9.0}
        found = rates_of({"threads": {"1": RATES, "2": spoilt}}, 2)
        assert found == {**RATES, "memory_gbps": 9.0}

    def test_bf16_pays_where_it_was_faster(self):
        assert not bf16_pays(SPEED, 128)
        assert bf16_pays(SPEED, 512)
        assert not bf16_pays({}, 512)

    def test_compiling_pays_where_it_earns_its_seconds(self):
        assert not compile_pays(SPEED, 2, 0.1, 100)
        assert compile_pays(SPEED, 2, 0.1, 10_000)
        assert not compile_pays(SPEED, 64, 0.1, 10_000)
        assert not compile_pays({"compile": {"cpu": {"error": "no compiler"}}}, 2, 1.0, 10**6)

    def test_a_measurement_of_another_edition_is_none(self, tmp_path):
        path = tmp_path / "speed.json"
        assert read_speed(path) is None
        path.write_text(json.dumps({**SPEED, "edition": 0}))
        assert read_speed(path) is None
        path.write_text(json.dumps(SPEED))
        assert read_speed(path) == SPEED


class TestPower:
    def test_packages_are_added_and_their_parts_are_not(self, tmp_path):
        for name, joules in (("intel-rapl:0", 5), ("intel-rapl:1", 7), ("intel-rapl:0:0", 3)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "energy_uj").write_text(str(joules * 1_000_000))
        assert energy_joules(tmp_path) == 12.0

    def test_a_machine_that_tells_nothing(self, tmp_path):
        assert energy_joules(tmp_path) is None
