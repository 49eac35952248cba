"""CPU seconds of a training through the whole product, against a plain torch loop.

    python benchmarks/train_product.py [--steps 1500] [--repeats 3]

The product: a stack of its own, the text uploaded as a dataset, the training submitted to the API
and run by a worker in its child process, with log, metrics, progress and checkpoints. The plain
loop is that of train_cpu_seconds.py, on the same text, in a fresh process each time. They take
turns, and which goes first changes. Compared is the training stage with its final validation;
starting the process, reading data and making the tokenizer are outside on both sides, told apart.
`supervisor` is what the worker process used meanwhile, less what it uses while nothing runs. JSON
lines; goal of `loop_ratio`: 1.03.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from running_stack import ROOT, Stack, running_stack

sys.path.insert(0, str(ROOT))
from console.demo.client import Client

TEAM = "bench"
GOAL = 1.03
TICKS = os.sysconf("SC_CLK_TCK")
POLL_S = 0.005


@dataclass(frozen=True)
class Measured:
    """CPU seconds before the training stage, of it, and of the supervisor during it."""

    before: float
    loop: float
    supervisor: float = 0.0
    seconds: float = 0.0
    #: The version that came out of it.
    version: int | None = None


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Product:
    """The stack with a person, a dataset and a model; `train` runs one training.

    `settings` replace those of a training that neither looks at its validation loss nor saves.
    """

    def __init__(self, stack: Stack, text: str, steps: int, **settings: Any) -> None:
        self.stack, self.steps, self.settings = stack, steps, settings
        person = ["--email", "bench@example.com", "--name", "Bench"]
        *_, token = stack.manage(
            ["team_create", TEAM],
            ["user_create", *person, "--team", TEAM, "--role", "developer"],
            ["token_create", "--user", person[1], "--scope", "read,write", "--name", "bench"],
        )
        self.api = Client(stack.url, token)
        self.dataset = self._dataset(text)
        self.api.post("models", {"team": TEAM, "name": "bench"})
        children = json.loads((stack.data_dir / "run" / "children.json").read_text())
        self.worker = int(children["worker"][0])
        before = cpu_s(self.worker)
        time.sleep(10)  # the worker at rest: beats, polls, ticks
        self.idle = (cpu_s(self.worker) - before) / 10

    def _dataset(self, text: str) -> int:
        """The whole text as one document, the last tenth of it for validation."""
        row = self.api.post("datasets", {"team": TEAM, "name": "bench"})
        path = f"datasets/{row['id']}/versions"
        options = {"document": "file", "split": "contiguous", "validation_fraction": 0.1}
        made = self.api.upload(path, options, "text.txt", text.encode())
        self._ended(made["job"])
        return int(made["id"])

    def _ended(self, job_id: int) -> None:
        over = {"succeeded", "failed", "canceled", "timed_out"}
        job = self.api.wait(f"jobs/{job_id}", lambda row: row["state"] in over, tell=lambda _: None)
        if job["state"] != "succeeded":
            raise SystemExit(f"job {job_id}: {job['reason']}")

    def train(self) -> Measured:
        """One training through the API, watched from outside by its spool and /proc."""
        config = {
            "preset": "nanogpt-cpu", "tokenizer": "char", "sequence_length": 64, "batch_size": 12,
            "steps": self.steps, "learning_rate": 1e-3, "min_learning_rate": 1e-4,
            "warmup_steps": 100, "evaluate_every": 0, "evaluation_batches": 20, "log_every": 10,
            "threads": 1, **self.settings,
        }  # fmt: skip
        body = {"team": TEAM, "model": "bench", "dataset_version": self.dataset, "config": config}
        run = self.api.post("training-runs", body)
        job = run["job"]
        spool = self.stack.data_dir / "spool" / f"job-{job}" / "a1" / "events.jsonl"
        pid = self._child(job)
        _until(spool, "training")
        begun, before, supervisor = time.monotonic(), cpu_s(pid), cpu_s(self.worker)
        _until(spool, "saving")
        loop, used = cpu_s(pid) - before, cpu_s(self.worker) - supervisor
        seconds = time.monotonic() - begun
        self._ended(job)
        supervisor = max(0.0, used - self.idle * seconds)
        return Measured(before, loop, supervisor, seconds, run["id"])

    def _child(self, job_id: int) -> int:
        while True:
            attempts = self.api.get(f"jobs/{job_id}/attempts")
            if attempts and attempts[-1]["pid"]:
                return int(attempts[-1]["pid"])
            time.sleep(0.05)


def _until(spool: Path, stage: str) -> None:
    """Wait for the event with which a stage begins."""
    pattern, place = re.compile(rb'"stage": "' + stage.encode()), 0
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if spool.exists():
            with spool.open("rb") as file:
                file.seek(place)
                data = file.read()
            if pattern.search(data):
                return
            place += data.rfind(b"\n") + 1
        time.sleep(POLL_S)
    raise SystemExit(f"the training did not come to the stage {stage}")


def plain(text: str, steps: int) -> Measured:
    """The plain loop in a fresh process."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(
            [sys.executable, __file__, "--plain", file.name, "--steps", str(steps)],
            cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return Measured(**json.loads(done.stdout))


def plain_here(file: str, steps: int) -> None:
    """In the fresh process: run it and print what it took."""
    from train_cpu_seconds import plain_torch_loop

    from workers.lm.compute.threads import use_threads

    use_threads(1)
    text = Path(file).read_text()
    cut = len(text) * 9 // 10
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = plain_torch_loop(text[:cut], text[cut:], steps, Path(folder))
    print(json.dumps({"before": started + found.whole - found.loop, "loop": found.loop}))


def line(steps: int, runs: dict[str, list[Measured]]) -> dict[str, Any]:
    """What is printed: medians, and the ratios of the pairs."""
    pairs = list(zip(runs["product"], runs["plain"], strict=True))
    loops = [mine.loop / base.loop for mine, base in pairs]
    totals = [(mine.loop + mine.supervisor) / base.loop for mine, base in pairs]

    def middle(name: str, part: str) -> float:
        return round(statistics.median(getattr(one, part) for one in runs[name]), 3)

    return {
        "metric": "train_product",
        "baseline": "plain torch loop",
        "steps": steps,
        "repeats": len(pairs),
        "loop_ratio": round(statistics.median(loops), 4),
        "loop_ratios": [round(value, 4) for value in loops],
        "goal": GOAL,
        "with_supervisor_ratio": round(statistics.median(totals), 4),
        "product_loop_cpu_s": middle("product", "loop"),
        "plain_loop_cpu_s": middle("plain", "loop"),
        "supervisor_cpu_s": middle("product", "supervisor"),
        "product_loop_wall_s": middle("product", "seconds"),
        "product_before_loop_cpu_s": middle("product", "before"),
        "plain_before_loop_cpu_s": middle("plain", "before"),
    }


def main() -> int:
    """Alternate both; print a line for each run and one for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_here(options.plain, options.steps)
        return 0
    from train_cpu_seconds import made_up_text

    text = made_up_text()
    runs: dict[str, list[Measured]] = {"product": [], "plain": []}
    with running_stack() as stack:
        product = Product(stack, text, options.steps)
        calls = [("product", product.train), ("plain", lambda: plain(text, options.steps))]
        for repeat in range(options.repeats):
            for name, run in calls if repeat % 2 == 0 else reversed(calls):
                runs[name].append(run())
                print(json.dumps({"run": name, **asdict(runs[name][-1])}), flush=True)
    found = line(options.steps, runs)
    print(json.dumps(found))
    return 0 if found["loop_ratio"] <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
