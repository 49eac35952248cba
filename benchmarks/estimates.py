"""What a training takes against what was said before it: peak memory and seconds a step.

    python benchmarks/estimates.py [--steps 8] [--threads 1] [--only gpt2-5m]

The node is measured first, as a worker does (or read from `--speed FILE`). Then each shape is
trained for a few real steps by the product's own call, in a child process of its own; its peak of
resident memory comes from the kernel (VmHWM), its step time is the fastest step but the first, for
what the model predicts is the machine undisturbed; the median is told beside it. JSON lines: one
for each shape, one for all. Ends with 1 where memory or step time is off by more than a quarter.
"""

import json
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

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
    """Events that note how long each step took."""

    def __init__(self, tokens: int) -> None:
        self.tokens, self.seconds = tokens, []

    def log(self, text: str, level: str = "info") -> None: ...

    def metric(self, step: int, values: dict[str, float]) -> None:
        if "tokens_per_second" in values:
            self.seconds.append(self.tokens / values["tokens_per_second"])

    def progress(self, **_: Any) -> None: ...

    def checkpoint(self, **_: Any) -> None: ...

    def should_stop(self) -> bool:
        return False


def train_here(spec: dict[str, Any], folder: Path) -> None:
    """In the child: train for real and print what it took."""
    from workers.lm.compute.threads import use_threads
    from workers.lm.training.run import train
    from workers.lm.training.spec import TrainSpec

    known = TrainSpec.from_dict(spec)
    use_threads(known.threads)
    events = StepTimes(known.batch_size * known.sequence_length)
    result = train(
        known, [folder / "train.jsonl"], [folder / "validation.jsonl"],
        folder / "work", folder / "checkpoints", folder / "out", events,
    )  # fmt: skip
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({
        "peak_bytes": peak, "seconds": events.seconds, "vocabulary": result.vocab_size,
        "parameters": result.parameters,
    }))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train_here(json.loads(sys.argv[2]), Path(sys.argv[3]))
