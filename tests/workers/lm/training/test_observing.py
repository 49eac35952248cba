"""Figures beside the losses: seconds of a step, use of the device, waits of each process."""

import contextlib
import time

import pytest
from torch.nn import functional

from tests.workers.lm.recording import Recorder
from tests.workers.lm.training.distributed.filed import FiledEvents, recorded
from tests.workers.lm.training.distributed.settings import places
from tests.workers.lm.training.distributed.settings import run as run_together
from tests.workers.lm.training.settings import run_training, tiny_spec
from workers.lm.compute.flops import step_work, training_flops
from workers.lm.compute.speed import peak_flops
from workers.lm.training.distributed.training import train_together

pytestmark = pytest.mark.nodb

SPEED = {
    "threads": {
        "1": {"products_gflops": {"64": 20.0, "512": 40.0}, "products_bf16_gflops": {"64": 10.0}},
        "4": {"products_gflops": {"64": 60.0, "512": 160.0}, "products_bf16_gflops": {"64": 30.0}},
    },
    "gpu": {"products_gflops": {"64": 9.0, "512": 900.0}, "products_bf16_gflops": {"512": 7000.0}},
}


@pytest.mark.parametrize(
    ("threads", "precision", "on_gpu", "expected"),
    [
        (1, "fp32", False, 40e9),
        (4, "fp32", False, 160e9),
        (2, "fp32", False, 80e9),  # between those that were measured
        (1, "bf16", False, 10e9),
        (1, "fp32", True, 900e9),
        (1, "bf16", True, 7000e9),
    ],
)
def test_the_peak_is_the_fastest_that_was_measured(threads, precision, on_gpu, expected):
    assert peak_flops(SPEED, threads, precision, on_gpu) == pytest.approx(expected)


def test_without_a_measurement_there_is_no_peak():
    assert peak_flops({}, 1, "fp32") is None
    assert peak_flops({"threads": SPEED["threads"]}, 1, "fp32", on_gpu=True) is None


def test_an_adapter_spares_the_gradients_of_its_base():
    shape = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 300,
             "max_position_embeddings": 32}  # fmt: skip
    whole, adapter = (training_flops(shape, 4, 32, adapter=one) for one in (False, True))
    work = step_work(shape, 4, 32)

    assert whole == work.flops
    assert whole - adapter == pytest.approx(work.product_flops / 3)


def test_a_training_tells_the_share_of_the_peak_that_it_reaches(tmp_path):
    events = Recorder()
    run_training(tmp_path, events, tiny_spec(steps=5), speed=SPEED)
    seconds, share = events.series("step_seconds"), events.series("mfu_percent")

    assert list(seconds) == list(share) == [1, 2, 3, 4, 5]
    products = {round(share[step] * seconds[step], 9) for step in share}
    assert len(products) == 1  # the same operations in every step
    tokens = events.series("tokens_per_second")
    assert all(tokens[step] * seconds[step] == pytest.approx(8 * 16) for step in tokens)


def test_where_the_node_was_not_measured_nothing_is_said_of_it(tmp_path):
    events = Recorder()
    run_training(tmp_path, events, tiny_spec(steps=5))

    assert events.series("step_seconds")
    assert not events.series("mfu_percent")


def test_processes_tell_how_long_they_wait_where_this_can_be_told(tmp_path):
    told = {}
    for way in ("ddp", "fsdp"):
        spec = tiny_spec(steps=4, processes=2, parallel=way, dropout=0.0, sample_prompts=[])
        _, told[way] = run_together(tmp_path / way, spec)

    for rank in (0, 1):
        waits = told["ddp"].series(f"rank_{rank}_wait_seconds")
        seconds = told["ddp"].series(f"rank_{rank}_step_seconds")
        assert list(waits) == [1, 2, 3, 4]
        assert all(0 < waits[step] <= seconds[step] for step in waits)
        assert not told["fsdp"].series(f"rank_{rank}_wait_seconds")


def test_it_is_the_others_that_wait_for_a_slow_process(tmp_path):
    def settled(events):
        with contextlib.suppress(FileExistsError):
            (tmp_path / "slow").touch(exist_ok=False)
            events.log("slow", "warning")
            whole = functional.cross_entropy
            functional.cross_entropy = lambda *given, **named: (
                time.sleep(0.25), whole(*given, **named)
            )[1]  # fmt: skip

    spec = tiny_spec(steps=4, evaluate_every=0, processes=2, dropout=0.0, sample_prompts=[])
    file = tmp_path / "events.jsonl"
    with train_together(
        spec, *places(tmp_path), events=FiledEvents(file), settled=settled
    ) as ranks:
        ranks.result()
    told = recorded(file)
    slow = next(number for number in (0, 1) if ("warning", f"[rank {number}] slow") in told.lines)
    waits = [sum(told.series(f"rank_{rank}_wait_seconds").values()) for rank in (0, 1)]

    assert waits[1 - slow] > waits[slow]
