"""What a training takes against what was said before it: peak memory and seconds a step.

    python benchmarks/estimates.py [--steps 8] [--threads 1] [--only gpt2-5m] [--others]
                                  [--speed FILE]

The node is measured first, as a worker does (or read from a file). Then each shape is trained for
a few real steps by the product's own call, in a child process of its own; its peak of resident
memory comes from the kernel (VmHWM). A step is timed as the measurement is: by one thread in
processor seconds, which other work on the machine hardly moves, else by the wall. Compared is the
median of all steps but the first; the fastest and the wall's median are told beside it. JSON
lines: one for each shape, one for all. Ends with 1 where memory or time is off by more than a
quarter.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.lm.compute.flops import step_work
from workers.lm.compute.memory import estimate, peak_bytes
from workers.lm.compute.speed import rates_of
from workers.lm.compute.steptime import step_time
from workers.lm.families.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
GOAL = 1.25
#: Enough text for a vocabulary of 8,192 pieces of words.
TEXT_BYTES = 3 << 20


@dataclass(frozen=True)
class Shape:
    """One training to be predicted."""

    preset: str
    batch: int
    length: int
    parts: int
    vocabulary: int


SHAPES = (
    Shape("gpt2-1m", 16, 256, 1, 2048),
    Shape("gpt2-5m", 8, 256, 1, 4096),
    Shape("llama-5m", 16, 256, 2, 4096),
    Shape("gpt2-30m", 4, 512, 1, 8192),
    Shape("llama-30m", 4, 512, 2, 8192),
)
#: None of these took part in fitting the counts of `flops.py`.
OTHERS = (
    Shape("gpt2-1m", 8, 128, 2, 1024),
    Shape("llama-1m", 32, 64, 1, 1024),
    Shape("gpt2-5m", 4, 512, 2, 2048),
    Shape("llama-5m", 6, 384, 1, 6000),
    Shape("gpt2-30m", 8, 128, 4, 4096),
)


def text() -> str:
    """The standard library's own sources: text that is on every machine."""
    found, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        found.append(path.read_text(errors="ignore"))
        size += len(found[-1])
        if size > TEXT_BYTES:
            break
    return "\n".join(found)


class StepTimes:
    """Events that note how long each step took, by the wall and by the processor."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []
        self._last = (0.0, 0.0)

    def log(self, text: str, level: str = "info") -> None: ...

    def metric(self, step: int, values: dict[str, float]) -> None:
        now = (time.perf_counter(), time.process_time())
        if "tokens_per_second" in values:  # the end of a step, by log_every=1
            if step > 1:
                self.wall.append(now[0] - self._last[0])
                self.processor.append(now[1] - self._last[1])
            self._last = now

    def progress(self, **_: Any) -> None: ...

    def checkpoint(self, **_: Any) -> None: ...

    def sample(self, **_: Any) -> None: ...

    def should_stop(self) -> bool:
        return False


def train_here(spec: dict[str, Any], folder: Path) -> None:
    """In the child: train for real and print what it took."""
    from workers.lm.compute.threads import use_threads
    from workers.lm.training.run import train
    from workers.lm.training.spec import TrainSpec

    known = TrainSpec.from_dict(spec)
    use_threads(known.threads)
    events = StepTimes()
    result = train(
        known, [folder / "train.jsonl"], [folder / "validation.jsonl"],
        folder / "work", folder / "checkpoints", folder / "out", events,
    )  # fmt: skip
    times = events.processor if known.threads == 1 else events.wall
    found = {
        "peak_bytes": peak_bytes(),
        "vocabulary": result.vocab_size,
        "parameters": result.parameters,
        "step_s": statistics.median(times),
        "fastest_s": min(times),
        "wall_s": statistics.median(events.wall),
    }
    print(json.dumps(found))


def trained(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """Train a shape in a child and hand on what it took."""
    spec = {
        "preset": shape.preset, "vocab_size": shape.vocabulary, "sequence_length": shape.length,
        "batch_size": shape.batch, "gradient_accumulation": shape.parts, "steps": options.steps,
        "warmup_steps": 1, "evaluate_every": 0, "evaluation_batches": 1, "checkpoint_every": 0,
        "log_every": 1, "threads": options.threads,
    }  # fmt: skip
    whole = text()
    cut = len(whole) * 9 // 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, words in (("train", whole[:cut]), ("validation", whole[cut:])):
            rows = [words[at : at + 4000] for at in range(0, len(words), 4000)]
            lines = "\n".join(json.dumps({"text": row}) for row in rows)
            (folder / f"{part}.jsonl").write_text(lines)
        return child([__file__, "--train", json.dumps(spec), name])


def child(arguments: list[str]) -> dict[str, Any]:
    """What a Python process of ours prints as its last line."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def line(shape: Shape, speed: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """One shape: predicted, measured, and one over the other."""
    found = trained(shape, options)
    context = "n_positions" if "gpt2" in shape.preset else "max_position_embeddings"
    sizes = {"vocab_size": found["vocabulary"], context: shape.length}
    architecture = {**PRESETS[shape.preset].config(), **sizes}
    memory = estimate(architecture, shape.batch, shape.length, shape.parts)
    work = step_work(architecture, shape.batch, shape.length, shape.parts)
    step = step_time(work, rates_of(speed, options.threads))
    assert memory.parameters == found["parameters"], "the formula counts other parameters"
    return {
        "shape": asdict(shape),
        "parameters": memory.parameters,
        "gflop_per_step": round(work.flops / 1e9, 1),
        "predicted_mib": memory.total >> 20,
        "measured_mib": found["peak_bytes"] >> 20,
        "memory_ratio": round(memory.total / found["peak_bytes"], 3),
        "predicted_step_s": round(step.seconds, 4),
        "measured_step_s": round(found["step_s"], 4),
        "step_ratio": round(step.seconds / found["step_s"], 3),
        "fastest_step_s": round(found["fastest_s"], 4),
        "wall_step_s": round(found["wall_s"], 4),
    }


def off(ratio: float) -> float:
    """How far from right, to either side: 1.2 for 1.2 and for 0.83."""
    return max(ratio, 1 / ratio)


def main() -> int:
    """Measure the node, then every shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--others", action="store_true", help="Shapes that nothing was fitted to")
    parser.add_argument("--speed", metavar="FILE", help="A measurement instead of a new one")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train_here(json.loads(options.train[0]), Path(options.train[1]))
        return 0
    if options.speed:
        speed = json.loads(Path(options.speed).read_text())
    else:
        speed = child(["-m", "workers.lm.compute.measuring", "--cores", str(options.threads)])
    lines = []
    for shape in OTHERS if options.others else SHAPES:
        if options.only in ("", shape.preset):
            lines.append(line(shape, speed, options))
            print(json.dumps(lines[-1]), flush=True)
    memory = max(off(one["memory_ratio"]) for one in lines)
    step = max(off(one["step_ratio"]) for one in lines)
    whole = {
        "metric": "estimates", "shapes": len(lines), "threads": options.threads,
        "worst_memory": round(memory, 3), "worst_step": round(step, 3), "goal": GOAL,
        "load": round(os.getloadavg()[0], 1), "rates": rates_of(speed, options.threads),
    }  # fmt: skip
    print(json.dumps(whole))
    return 0 if max(memory, step) <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
