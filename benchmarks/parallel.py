"""Several processes against one: memory, speed and equality, all in one run.

    python benchmarks/parallel.py --processes 2

One JSON line for each way (one process, ddp, fsdp, tensor). `rank_mib` is the most resident memory
that each process ever had, from its own `VmHWM`: it includes the libraries (about 350 MiB), the
loading and a checkpoint; `memory_ratio` compares the largest rank with the one process.
`tokens_per_second` covers the steps alone; `speed_ratio` above 1 is faster than one process, which
takes idle processors to happen. A second, small model is trained to its end: `loss_difference` is
the largest over all steps, `weights_difference` compares the final weights with those of ddp.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from safetensors.torch import load_file

from workers.lm.training.distributed.launch import started
from workers.lm.training.distributed.training import train_together
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec

WAYS = ("one", "ddp", "fsdp", "tensor")
SMALL = {"preset": "llama-1m", "tokenizer": "char", "vocab_size": 256, "sequence_length": 64,
         "batch_size": 12, "steps": 30, "warmup_steps": 2, "evaluate_every": 0, "log_every": 1,
         "checkpoint_every": 0, "learning_rate": 1e-3}  # fmt: skip


class Filed:
    """Appends figures to a file that all processes share, each with its peak of memory."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log(self, text: str, level: str = "info", **_: Any) -> None: ...

    def progress(self, **_: Any) -> None: ...

    def checkpoint(self, **_: Any) -> None: ...

    def sample(self, **_: Any) -> None: ...

    def should_stop(self) -> bool:
        return False

    def metric(self, step: int, values: dict[str, float]) -> None:
        line = {"pid": os.getpid(), "peak": peak_mib(), "step": step, **values}
        os.write(self._file, (json.dumps(line) + "\n").encode())


def peak_mib() -> float:
    """The most resident memory that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def run(root: Path, way: str, processes: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train in fresh processes, also where it is one; what they told."""
    text = root.parent / "text.jsonl"
    inputs = [text], [text], root / "work", root / "checkpoints", root / "out"
    root.mkdir(parents=True)
    events = Filed(root / "events")
    if way == "one":
        spec = TrainSpec(**settings)
        with started(1, lambda _place, heard: train(spec, *inputs, heard), events) as ranks:
            ranks.result()
    else:
        spec = TrainSpec(**settings, processes=processes, parallel=way)
        with train_together(spec, *inputs, events=events) as ranks:
            ranks.result()
    return [json.loads(line) for line in (root / "events").read_text().splitlines()]


def main() -> None:
    """Measure every way in turn, and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--width", type=int, default=1024)
    options.add_argument("--layers", type=int, default=16)
    options.add_argument("--steps", type=int, default=4)
    given = options.parse_args()
    large = {
        **SMALL, "preset": None, "steps": given.steps, "sequence_length": 32, "batch_size": 4,
        "checkpoint_every": 2, "keep_checkpoints": 1, "evaluation_batches": 1,
        "architecture": {
            "model_type": "llama", "hidden_size": given.width, "num_hidden_layers": given.layers,
            "num_attention_heads": 16, "num_key_value_heads": 16,
            "intermediate_size": 3 * given.width, "tie_word_embeddings": True,
        },
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = [{"text": f"The {n} ships sail over {n * n} calm seas."} for n in range(2000)]
        (root / "text.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
        base: dict[str, Any] = {}
        for way in WAYS:
            small = run(root / f"{way}-small", way, given.processes, SMALL)
            big = run(root / f"{way}-large", way, given.processes, large)
            found = measured(way, small, big, root)
            base = base or dict(found)
            print(json.dumps(told(found, base, given.processes)), flush=True)


def measured(
    way: str, small: list[dict[str, Any]], big: list[dict[str, Any]], root: Path
) -> dict[str, Any]:
    """The figures of one way."""
    peaks: dict[int, float] = {}
    for row in big:
        peaks[row["pid"]] = max(row["peak"], peaks.get(row["pid"], 0.0))
    speeds = [row["tokens_per_second"] for row in small if "tokens_per_second" in row]
    weights = load_file(root / f"{way}-small" / "out" / "model.safetensors")
    reference = load_file(
        root / f"{'ddp' if way != 'one' else 'one'}-small" / "out" / "model.safetensors"
    )
    return {
        "way": way,
        "rank_mib": [round(peak) for peak in peaks.values()],
        "tokens_per_second": round(statistics.median(speeds)),
        "losses": {row["step"]: row["loss"] for row in small if "loss" in row},
        "weights_difference": max(
            float((weights[name] - reference[name]).abs().max()) for name in weights
        ),
    }


def told(found: dict[str, Any], base: dict[str, Any], processes: int) -> dict[str, Any]:
    """One line: the figures, and how they compare with those of one process."""
    losses, expected = found.pop("losses"), base["losses"]
    return {
        **found,
        "processes": 1 if found["way"] == "one" else processes,
        "memory_ratio": round(max(found["rank_mib"]) / max(base["rank_mib"]), 3),
        "speed_ratio": round(found["tokens_per_second"] / base["tokens_per_second"], 3),
        "loss_difference": max(abs(losses[step] - expected[step]) for step in expected),
    }


if __name__ == "__main__":
    main()
