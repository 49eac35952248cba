"""What the loop's safeguards cost: judging steps, and checkpoints in the loop and beside it.

    python benchmarks/training_loop.py --steps 16 --every 4 --repeats 2

Judging: microseconds of CPU of one optimiser step with each policy, without forward and backward,
on the shape `nanogpt-cpu`. Checkpoints: a model of about 25 million parameters is trained with
checkpoints in the loop and in the background; per checkpoint, the CPU and wall seconds for which
the loop stood still, and the CPU seconds of the process. One JSON line each comes out.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.train_cpu_seconds import Stages, made_up_text
from workers.lm.compute.threads import use_threads
from workers.lm.families.presets import PRESETS
from workers.lm.training.divergence import Judge, Pending
from workers.lm.training.optimizer import build_optimizer
from workers.lm.training.parallel import Alone
from workers.lm.training.run import train
from workers.lm.training.saving import Saver
from workers.lm.training.spec import TrainSpec

POLICIES: dict[str, dict[str, Any]] = {
    "stop": {"on_divergence": "stop"}, "skip": {}, "skip and spikes": {"spike_factor": 3.0},
}  # fmt: skip
SHAPE = {"model_type": "gpt2", "n_embd": 512, "n_layer": 8, "n_head": 8}


def judging(repeats: int) -> dict[str, float]:
    """Microseconds of an optimiser step by policy, the best of several tries that alternate."""
    config = {**PRESETS["nanogpt-cpu"].config(), "vocab_size": 65}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, **ends))
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight) * 1e-3
    found: dict[str, float] = {}
    for _ in range(2 * repeats):
        for name, changes in POLICIES.items():
            spec = TrainSpec(learning_rate=1e-9, min_learning_rate=0.0, **changes)
            optimizer, pending = build_optimizer(model, spec), Pending()
            judge = Judge(spec, Alone(), torch.device("cpu"))
            loss, norm = torch.tensor(2.0), torch.tensor(1.0)
            begun = 0.0
            for step in range(220):
                if step == 20:
                    begun = time.process_time()
                judge.step(optimizer, pending, loss, norm)
            taken = (time.process_time() - begun) / 200 * 1e6
            found[name] = round(min(found.get(name, taken), taken), 1)
    return found


def saving(steps: int, every: int, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of a checkpoint by where it is written, medians."""
    stood: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    whole: dict[bool, list[float]] = {False: [], True: []}
    save = Saver.save

    def timed(self: Saver, *args: Any) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        save(self, *args)
        stood[self.background].append((time.thread_time() - cpu, time.perf_counter() - wall))

    Saver.save = timed  # type: ignore[method-assign]
    text = made_up_text()
    cut = len(text) * 9 // 10
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(repeats):
            for background in (False, True):
                root = Path(scratch) / f"{number}-{background}"
                root.mkdir()
                files = []
                for name, part in (("train", text[:cut]), ("validation", text[cut:])):
                    files.append(root / f"{name}.jsonl")
                    files[-1].write_text(json.dumps({"text": part}) + "\n")
                spec = TrainSpec(
                    architecture=SHAPE, tokenizer="char", vocab_size=64, sequence_length=32,
                    batch_size=2, steps=steps, warmup_steps=1, evaluate_every=0,
                    evaluation_batches=1, checkpoint_every=every, keep_checkpoints=1,
                    checkpoint_in_background="on" if background else "off",
                )  # fmt: skip
                begun = time.process_time()
                train(spec, files[:1], files[1:], root / "w", root / "c", root / "o", Stages())
                whole[background].append(time.process_time() - begun)
    base = statistics.median(whole[False])
    return {
        "in background" if background else "in the loop": {
            "loop_cpu_s": round(statistics.median(row[0] for row in rows), 3),
            "loop_wall_s": round(statistics.median(row[1] for row in rows), 3),
            "more_cpu_s_each": round(
                (statistics.median(whole[background]) - base) / -(-steps // every), 3
            ),
        }
        for background, rows in stood.items()
    }


def main() -> None:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    use_threads(1)
    print(json.dumps({"judging_us": judging(options.repeats)}))
    print(json.dumps({"checkpoint": saving(options.steps, options.every, options.repeats)}))


if __name__ == "__main__":
    main()
