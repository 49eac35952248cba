"""How soon a training works again after `kill -9`, and that it ends as if nothing had happened.

    python benchmarks/recovery.py [--forms one ddp fsdp tensor] [--kills 20] [--seed 1] [--cold]

A whole stack trains through the public API: undisturbed, and then with a process of it killed at
random steps: the only one, or any one of the trainings that several processes share (the ranks and
the process that has started them). One JSON line for each form: seconds from the kill to the first
new step (median, worst; goal 10), the seconds after the kill at which each part was over (medians),
and whether the final weights have the SHA-256 of the undisturbed run. `--cold` keeps no template.

`ended`: the worker has noticed, ended what was left and stored the end of the attempt; `claimed`:
the job has its place and its next attempt; `ready`: its process is about to run the kind;
`prepared`: the data is there; `resumed`: the checkpoint is verified and loaded; `step`: done.
"""

import argparse
import datetime as dt
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.running_stack import Stack, running_stack
from console.demo.client import Client

FORMS = ("one", "ddp", "fsdp", "tensor")
GOAL_S, GIVE_UP_S = 10.0, 120.0
TEAM = "recovery"
#: Twenty kills at most twice EVERY steps apart still find something to do.
STEPS, EVERY = 200, 5
CONFIG: dict[str, Any] = {
    "preset": "llama-1m", "tokenizer": "bpe", "vocab_size": 512, "sequence_length": 32,
    "batch_size": 4, "steps": STEPS, "warmup_steps": 20, "log_every": 1, "evaluate_every": 0,
    "checkpoint_every": EVERY, "dropout": 0.1, "threads": 1, "seed": 11,
}  # fmt: skip
#: What the log says at the end of each part of a start.
SAID = {"ready": "process is ready", "prepared": "Training on", "resumed": "Going on from"}


class Training:
    """One training that runs on the stack, and its attempts as their spools tell of them."""

    def __init__(self, stack: Stack, api: Client, body: dict[str, Any]) -> None:
        self.stack, self.api = stack, api
        self.run = api.post("training-runs", body)
        self.job = self.run["job"]

    def attempts(self) -> list[dict[str, Any]]:
        return list(self.api.get(f"jobs/{self.job}/attempts"))

    def said(self, epoch: int) -> Iterator[dict[str, Any]]:
        """What the process of an attempt says, as soon as it does."""
        path = self.stack.data_dir / "spool" / f"job-{self.job}" / f"a{epoch}" / "events.jsonl"
        deadline = time.monotonic() + GIVE_UP_S
        rest, offset = b"", 0
        while time.monotonic() < deadline:
            if path.exists():
                with path.open("rb") as stream:
                    stream.seek(offset)
                    found = stream.read()
                offset += len(found)
                *lines, rest = (rest + found).split(b"\n")
                for line in lines:
                    if line.startswith(b'{"t"'):
                        yield json.loads(line)
            time.sleep(0.01)
        raise SystemExit(f"attempt {epoch} of job {self.job} says nothing more")

    def first_step(self, epoch: int) -> dict[str, float]:
        """When the parts of an attempt's start were over, up to its first step."""
        at: dict[str, float] = {}
        for event in self.said(epoch):
            if event["t"] == "log":
                for part, words in SAID.items():
                    if words in event["text"]:
                        at.setdefault(part, seconds(event["at"]))
            if event["t"] == "metric" and "loss" in event["values"]:
                return {**at, "step": seconds(event["at"])}
        raise AssertionError

    def at_step_after(self, epoch: int, steps: int) -> None:
        """Wait until so many steps of the attempt are done."""
        done = 0
        for event in self.said(epoch):
            done += event["t"] == "metric" and "loss" in event["values"]
            if done >= steps:
                return

    def processes(self, epoch: int) -> list[int]:
        """The process of the attempt, and those that it has started."""
        pid = next(row["pid"] for row in self.attempts() if row["epoch"] == epoch)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def weights(self) -> str:
        """The SHA-256 of the weights, after the end."""
        while (job := self.api.get(f"jobs/{self.job}"))["state"] != "succeeded":
            if job["state"] in ("failed", "canceled", "timed_out"):
                raise SystemExit(f"the training has {job['state']}: {job['reason']}")
            time.sleep(0.2)
        version = self.api.get(self.run["url"])
        return str(version["manifest"]["model.safetensors"]["sha256"])


def seconds(stamp: str) -> float:
    """A time of the API or of an event as seconds since 1970."""
    return dt.datetime.fromisoformat(stamp).timestamp()


def killed(training: Training, kills: int, draw: random.Random) -> list[dict[str, float]]:
    """Kill so many times; the seconds after each kill at which the parts were over."""
    moments = []
    training.at_step_after(1, 1)
    for epoch in range(1, kills + 1):
        training.at_step_after(epoch, draw.randint(1, 2 * EVERY))
        victim = draw.choice(training.processes(epoch))
        at = time.time()
        os.kill(victim, signal.SIGKILL)
        moments.append((at, training.first_step(epoch + 1)))
    rows = {row["epoch"]: row for row in training.attempts()}
    found = []
    for epoch, (at, parts) in enumerate(moments, 1):
        ended, claimed = rows[epoch]["ended_at"], rows[epoch + 1]["started_at"]
        whole = {"ended": seconds(ended), "claimed": seconds(claimed), **parts}
        found.append({part: moment - at for part, moment in whole.items()})
    return found


def measured(stack: Stack, api: Client, data: int, form: str, options: Any) -> dict[str, Any]:
    """One form: undisturbed, then killed again and again."""
    several = {"processes": 2, "parallel": form} if form != "one" else {}
    body = {"team": TEAM, "model": form, "dataset_version": data, "config": {**CONFIG, **several}}
    api.post("models", {"team": TEAM, "name": form})
    before = os.getloadavg()[0]
    expected = Training(stack, api, body).weights()
    training = Training(stack, api, body)
    times = killed(training, options.kills, random.Random(f"{form} {options.seed}"))
    same = training.weights() == expected
    steps = [row["step"] for row in times]
    forked = [row["isolation"].get("template") for row in training.attempts()]
    return {
        "metric": "kill_to_step_s",
        "form": form,
        "kills": len(times),
        "attempts": len(forked),
        "median": round(statistics.median(steps), 2),
        "worst": round(max(steps), 2),
        "goal": GOAL_S,
        "after": {
            part: round(statistics.median(row[part] for row in times if part in row), 2)
            for part in ("ended", "claimed", *SAID, "step")
        },
        "same_weights": same,
        "from_template": sum(bool(pid) for pid in forked),
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> int:
    """Measure each form; 0 if all ended with the same weights and within the goal."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--cold", action="store_true")
    given = options.parse_args()
    good = True
    more = {"SLIPWAY_MEASURE_SPEED": "0", "SLIPWAY_WARM_TEMPLATE": str(int(not given.cold))}
    with running_stack(environment=more) as stack:
        words = ["--user", "ana@example.com", "--scope", "read,write", "--name", "recovery"]
        person = ["--email", "ana@example.com", "--name", "Ana", "--team", TEAM, "--role", "admin"]
        *_, token = stack.manage(
            ["team_create", TEAM], ["user_create", *person], ["token_create", *words]
        )
        api = Client(stack.url, token)
        row = api.post("datasets", {"team": TEAM, "name": "ships"})
        made = api.upload(f"datasets/{row['id']}/versions", {"seed": 1}, "ships.jsonl", documents())
        while api.get(f"jobs/{made['job']}")["state"] != "succeeded":
            time.sleep(0.1)
        for form in given.forms:
            found = measured(stack, api, made["id"], form, given)
            print(json.dumps(found), flush=True)
            good = good and found["same_weights"] and found["worst"] <= GOAL_S
    return 0 if good else 1


def documents() -> bytes:
    """Made-up text in which there is something to learn."""
    lines = [{"text": f"The {n} ships sail over {n * n} calm seas. " * 4} for n in range(600)]
    return "\n".join(json.dumps(line) for line in lines).encode()


if __name__ == "__main__":
    sys.exit(main())
