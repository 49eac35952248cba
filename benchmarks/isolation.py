"""What the cage around an attempt costs, and what it is good for.

    python benchmarks/isolation.py [SECONDS]

For each fence that this machine offers, one JSON line:
- `cage_ms`: wall time that a cage adds to starting and ending one process (median), against the
  same process without one; `gate_cpu_ms` of it is the processor time of the gate;
- `watch_cpu_ms_per_s`: processor time of one second of supervision, one attempt of 9 processes;
- `neighbour`: p95 of the steps of a job that computes on one CPU, alone, and beside a hog of
  eight busy processes for each CPU (with no limit of its own, and limited to half the machine).
Goal, where the kernel shares the processor out: p95 beside the limited hog within 20 % of alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
GOAL = 1.2
CPUS = len(os.sched_getaffinity(0))
FOREVER = 1_000_000
ROUNDS = 5


def ready(folder: str) -> None:
    """Settings that need no server."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="console.settings.worker",
        SLIPWAY_DATA_DIR=folder,
        DATABASE_URL="postgresql://nobody@127.0.0.1:9/none",
        REDIS_URL="redis://127.0.0.1:9",
        SECRET_KEY="benchmark",
    )
    import django

    django.setup()


class Attempt:
    """One self-test in a cage, supervised by nobody."""

    number = 0

    def __init__(self, root: Path, **asks: float) -> None:
        from models_app.jobs.models import Job
        from workers.isolation.cage import Cage
        from workers.process import ChildProcess

        Attempt.number += 1
        self.job = Job(pk=Attempt.number, epoch=1, node_name="benchmark", **asks)
        self.folder = root / "spool" / f"job-{self.job.pk}" / "a1"
        self.folder.mkdir(parents=True)
        self.cage = Cage(self.job, self.folder)
        self.child = ChildProcess(self.folder, self.cage)

    def start(self, **params: float) -> "Attempt":
        self.child.start(
            {
                "kind": "self_test",
                "params": {
                    "steps": FOREVER, "step_ms": 0, "lines_per_step": 0,
                    "checkpoint_every": FOREVER, **params,
                },
                "inputs": {}, "epoch": 1, "work_dir": str(self.folder / "work"),
                "checkpoint_dir": str(self.folder / "checkpoints"),
                "output_dir": str(self.folder / "output"), "watchdog_s": 600,
            }
        )  # fmt: skip
        return self

    def steps_ms(self) -> list[float]:
        lines = (self.folder / "events.jsonl").read_bytes().splitlines()
        events = [json.loads(line) for line in lines if line.startswith(b'{"t": "metric"')]
        return [event["values"]["work_ms"] for event in events if "work_ms" in event["values"]]

    def wait_for_steps(self, count: int) -> None:
        while len(self.steps_ms()) < count:
            assert self.child.running(0.1), (self.folder / "events.jsonl").read_text()[-2000:]

    def end(self) -> None:
        self.child.kill()
        self.cage.close()


def cage_ms(root: Path, rounds: int = 25) -> dict[str, float]:
    """Starting, entering, ending and removing, against the bare process."""
    bare, caged, cpu = [], [], []
    program = ["/bin/true"]
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(program, stdin=subprocess.DEVNULL, start_new_session=True, check=True)
        bare.append(time.perf_counter() - begun)
        begun, used = time.perf_counter(), children_cpu()
        attempt = Attempt(root)
        gate = attempt.cage.open()
        process = subprocess.Popen([*gate, *program], stdin=subprocess.PIPE, start_new_session=True)
        attempt.cage.entered(process.pid)
        process.communicate(b".")
        attempt.cage.close()
        caged.append(time.perf_counter() - begun)
        cpu.append(children_cpu() - used)
    return {
        "cage_ms": round(1000 * (statistics.median(caged) - statistics.median(bare)), 1),
        "gate_cpu_ms": round(1000 * statistics.median(cpu), 1),
    }


def children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def watch_cpu_ms(root: Path, seconds: float) -> float:
    """Processor time of looking at one attempt as often as its supervisor does."""
    attempt = Attempt(root, disk_mib=10_000).start(step_ms=10, processes=8, rounds=1)
    try:
        attempt.wait_for_steps(1)
        begun, used = time.monotonic(), time.thread_time()
        while time.monotonic() - begun < seconds:
            assert attempt.cage.breach() is None
            time.sleep(0.15)
        return round(1000 * (time.thread_time() - used) / (time.monotonic() - begun), 2)
    finally:
        attempt.end()


def neighbour(root: Path, seconds: float) -> dict[str, float]:
    """p95 of a well-behaved job's steps: alone, beside a hog, beside a hog with a limit.

    In turns, so that other work on the machine meets all three; the medians are compared.
    """
    job = Attempt(root, cpus=1).start(rounds=15_000)
    found: dict[str, list[float]] = {"alone": [], "hog": [], "limited_hog": []}
    limits = {"hog": {}, "limited_hog": {"cpus": CPUS / 2}}
    try:
        job.wait_for_steps(20)
        for _ in range(ROUNDS):
            found["alone"].append(p95_of(job, seconds / ROUNDS))
            for name, asks in limits.items():
                hog = Attempt(root, **asks).start(step_ms=100, busy=8 * CPUS, rounds=1)
                try:
                    hog.wait_for_steps(2)
                    found[name].append(p95_of(job, seconds / ROUNDS))
                finally:
                    hog.end()
    finally:
        job.end()
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        **{f"{name}_p95_ms": round(value, 2) for name, value in middle.items()},
        **{f"{name}_ratio": round(middle[name] / middle["alone"], 2) for name in limits},
    }


def p95_of(job: Attempt, seconds: float) -> float:
    seen = len(job.steps_ms())
    time.sleep(seconds)
    steps = job.steps_ms()[seen:]
    return statistics.quantiles(steps, n=20)[-1]


def main(seconds: float) -> int:
    failed = False
    with tempfile.TemporaryDirectory(prefix="slipway-cages-") as folder:
        ready(folder)
        from django.conf import settings

        from workers.isolation import cgroup1, cgroup2, probe

        fences = [n for n, m in (("cgroup2", cgroup2), ("cgroup1", cgroup1)) if m.find_bases()]
        for fence in [*fences, "polling"]:
            settings.ISOLATION = fence
            probe.bases.cache_clear()
            root = Path(folder)
            line = {
                "benchmark": "isolation", "fence": fence, "cpus": CPUS,
                "load": round(os.getloadavg()[0], 2), **cage_ms(root),
                "watch_cpu_ms_per_s": watch_cpu_ms(root, seconds),
                "neighbour": neighbour(root, seconds),
            }  # fmt: skip
            if fence != "polling":
                line["goal_met"] = line["neighbour"]["limited_hog_ratio"] < GOAL
                failed |= not line["goal_met"]
            print(json.dumps(line), flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
