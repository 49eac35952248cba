"""nanoGPT's recipe for a processor through the whole product, against nanoGPT itself, in one run.

    python benchmarks/nanogpt.py --nanogpt <checkout> --text tinyshakespeare.txt [--repeats 1]

The baseline is `train.py` of the checkout as it is, with the settings that nanoGPT's README gives
for a processor (4 layers, 4 heads, 128 wide, context 64, batch 12, 2,000 steps, one thread). The
product: a stack of its own, the text uploaded, the training asked for by the API and run by a
worker, with log, metrics, checkpoints and the same evaluations of 20 batches, without texts, as
train.py writes none. They take turns.
`loop_ratio` compares the processor seconds from the first evaluation to the last one, our
supervisor's share among them; `whole_ratio` adds what comes before: libraries, data, model. The
last line is JSON. Goals: `loop_ratio` at most 1.00, our validation loss at most 1.92 (nanoGPT
tells 1.88).
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from running_stack import running_stack
from train_product import Product, cpu_s

GOAL, GOAL_LOSS = 1.0, 1.92
EVERY = 250
#: What train.py says last before its loop.
READY = "num non-decayed parameter tensors"


@dataclass(frozen=True)
class Trained:
    """Processor seconds of one training, before its loop and in it, and the loss it reached."""

    before: float
    loop: float
    loss: float


def nanogpt(folder: Path, steps: int) -> Trained:
    """Run `train.py` in a process of its own."""
    settings = {
        "device": "cpu", "compile": False, "dtype": "float32", "eval_iters": 20,
        "log_interval": 1, "block_size": 64, "batch_size": 12, "n_layer": 4, "n_head": 4,
        "n_embd": 128, "max_iters": steps, "lr_decay_iters": steps, "dropout": 0.0,
        "eval_interval": EVERY, "out_dir": "out",
    }  # fmt: skip
    command = [sys.executable, "-u", "train.py", "config/train_shakespeare_char.py"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    before, said = 0.0, []
    for line in child.stdout:
        said.append(line)
        if line.startswith(READY):
            before = cpu_s(child.pid)
    _, status, used = os.wait4(child.pid, 0)
    losses = re.findall(r"val loss ([\d.]+)", "".join(said))
    if status or not before or not losses:
        raise SystemExit("train.py did not run through:\n" + "".join(said[-20:]))
    return Trained(before, used.ru_utime + used.ru_stime - before, float(losses[-1]))


def prepared(checkout: Path, text: Path, folder: Path) -> Path:
    """A copy of the checkout with the text as its data."""
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".git", "out*"))
    data = folder / "data" / "shakespeare_char"
    shutil.copy(text, data / "input.txt")
    subprocess.run([sys.executable, "prepare.py"], cwd=data, check=True, stdout=subprocess.DEVNULL)
    return folder


def ours(product: Product) -> Trained:
    """One training through the product."""
    took = product.train()
    version = product.api.get(f"model-versions/{took.version}")
    return Trained(took.before, took.loop + took.supervisor, version["metrics"]["validation_loss"])


def line(steps: int, runs: dict[str, list[Trained]]) -> dict[str, Any]:
    """What is printed: medians, and the ratios of the pairs."""
    pairs = list(zip(runs["product"], runs["nanogpt"], strict=True))
    loops = [mine.loop / base.loop for mine, base in pairs]
    wholes = [(mine.before + mine.loop) / (base.before + base.loop) for mine, base in pairs]

    def middle(name: str, part: str) -> float:
        return round(statistics.median(getattr(one, part) for one in runs[name]), 4)

    return {
        "metric": "nanogpt_cpu_recipe",
        "baseline": "nanoGPT train.py",
        "steps": steps,
        "repeats": len(pairs),
        "loop_ratio": round(statistics.median(loops), 4),
        "loop_ratios": [round(value, 4) for value in loops],
        "whole_ratio": round(statistics.median(wholes), 4),
        "goal": GOAL,
        "goal_validation_loss": GOAL_LOSS,
        **{f"{name}_{part}": middle(name, part)
           for name in runs for part in ("before", "loop", "loss")},
    }  # fmt: skip


def main() -> int:
    """Alternate both; print a line for each run and one for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--text", type=Path, required=True, help="tinyshakespeare.txt")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    settings = {"evaluate_every": EVERY, "checkpoint_every": EVERY, "sample_prompts": []}
    runs: dict[str, list[Trained]] = {"product": [], "nanogpt": []}
    with tempfile.TemporaryDirectory() as scratch, running_stack() as stack:
        theirs = prepared(options.nanogpt, options.text, Path(scratch) / "nanogpt")
        product = Product(stack, options.text.read_text(), options.steps, **settings)
        calls = [
            ("product", lambda: ours(product)),
            ("nanogpt", lambda: nanogpt(theirs, options.steps)),
        ]
        for repeat in range(options.repeats):
            for name, run in calls if repeat % 2 == 0 else reversed(calls):
                runs[name].append(run())
                print(json.dumps({"run": name, **asdict(runs[name][-1])}), flush=True)
    found = line(options.steps, runs)
    print(json.dumps(found))
    good = found["loop_ratio"] <= GOAL and found["product_loss"] <= GOAL_LOSS
    return 0 if good or options.steps < 2000 else 1


if __name__ == "__main__":
    sys.exit(main())
