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
import resource
import signal
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
METRIC = b'{"t": "metric"'


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
        self._read = 0

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

    def new_steps_ms(self) -> list[float]:
        """How long each step took since the last question."""
        with (self.folder / "events.jsonl").open("rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        events = [json.loads(row) for row in whole.splitlines() if row.startswith(METRIC)]
        return [event["values"]["work_ms"] for event in events if "work_ms" in event["values"]]

    def wait_for_steps(self, count: int) -> None:
        while count > 0:
            count -= len(self.new_steps_ms())
            assert self.child.running(0.1), (self.folder / "events.jsonl").read_text()[-2000:]

    def end(self) -> None:
        self.child.kill()
        self.cage.close()


def cage_ms(root: Path, rounds: int = 25) -> dict[str, float]:
    """Starting, entering, ending and removing, against the bare process."""
    from workers.isolation.cage import gate

    bare, caged, cpu = [], [], []
    program = ["/bin/true"]
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(program, stdin=subprocess.DEVNULL, start_new_session=True, check=True)
        bare.append(time.perf_counter() - begun)
        begun, used = time.perf_counter(), children_cpu()
        attempt = Attempt(root)
        attempt.cage.open()
        command = [*gate(attempt.cage.plan(os.getpid())), *program]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
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
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    """p95 of a well-behaved job's steps beside a hog that is stopped and let go in turns.

    Turns of half a second: other work on the machine meets both sides alike.
    """
    job = Attempt(root, cpus=1).start(rounds=15_000)
    found: dict[str, float] = {}
    try:
        job.wait_for_steps(20)
        for name, asks in {"hog": {}, "limited_hog": {"cpus": CPUS / 2}}.items():
            hog = Attempt(root, **asks).start(step_ms=100, busy=8 * CPUS, rounds=1)
            try:
                hog.wait_for_steps(2)
                alone, beside = in_turns(job, hog, seconds)
            finally:
                hog.end()
            found[f"alone_{name}_p95_ms"], found[f"beside_{name}_p95_ms"] = alone, beside
            found[f"{name}_ratio"] = beside / alone
    finally:
        job.end()
    return {name: round(value, 2) for name, value in found.items()}


def in_turns(job: Attempt, hog: Attempt, seconds: float) -> tuple[float, float]:
    """p95 of the job's steps while the hog is stopped, and while it runs."""
    steps: dict[int, list[float]] = {signal.SIGSTOP: [], signal.SIGCONT: []}
    for _ in range(round(seconds)):
        for number, kept in steps.items():
            os.killpg(hog.child.pid, number)
            job.new_steps_ms()
            time.sleep(0.5)
            kept.extend(job.new_steps_ms()[1:])  # the first one began before
    alone, beside = (statistics.quantiles(kept, n=20)[-1] for kept in steps.values())
    return alone, beside


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
