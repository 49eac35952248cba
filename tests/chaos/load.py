"""What an installation has to do while it is being broken: short jobs all the time, trainings."""

import hashlib
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from console.demo.client import ApiError
from tests.chaos.site import ChaosSite
from tests.flows.site import OVER, TEAM

STEPS, CHECKPOINT_EVERY, LOG_EVERY = 240, 15, 10
TRAINING: dict[str, Any] = {
    "preset": "gpt2-1m", "tokenizer": "bpe", "vocab_size": 512, "sequence_length": 64,
    "batch_size": 8, "steps": STEPS, "warmup_steps": 20, "log_every": LOG_EVERY,
    "evaluate_every": 4 * CHECKPOINT_EVERY, "evaluation_batches": 2, "dropout": 0.1,
    "checkpoint_every": CHECKPOINT_EVERY, "threads": 1, "seed": 11,
}  # fmt: skip
MODEL = "sailor"


@dataclass
class ShortJob:
    """One accepted self-test: what was asked for, and what may become of it."""

    id: int
    params: dict[str, Any]
    #: states in which it may end
    ends: set[str]

    @property
    def digest(self) -> str:
        return chain(self.params["seed"], self.params["steps"])[-1]


def chain(seed: int, steps: int) -> list[str]:
    """The digest after each step of a self-test, from 0 on, reckoned without the product."""
    found = [hashlib.sha256(str(seed).encode()).hexdigest()]
    for step in range(1, steps + 1):
        found.append(hashlib.sha256(f"{found[-1]}:{step}".encode()).hexdigest())
    return found


@dataclass
class Load:
    """Submits by a seed until it is closed; remembers every id that was accepted."""

    site: ChaosSite
    seed: int
    dataset: int = 0
    training: dict[str, Any] = field(default_factory=lambda: dict(TRAINING))
    gap_s: float = 3.0
    #: how many trainings one after the other; None: until the end
    most_trainings: int | None = None
    shorts: dict[int, ShortJob] = field(default_factory=dict)
    trainings: list[int] = field(default_factory=list)
    #: what went wrong in the load itself
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"load {self.seed}")
        self._over = threading.Event()
        targets = [self._submit] + ([self._train] if self.dataset else [])
        self._threads = [threading.Thread(target=self._guard, args=(t,)) for t in targets]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Nothing new is submitted."""
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(180)

    # ---- short jobs ----

    def short(self, ends: set[str] | None = None, **changes: Any) -> ShortJob:
        """Submit one; it is the caller's word what may become of it."""
        resources = changes.pop("resources", {"cpus": 0.1})
        priority = changes.pop("priority", 0)
        params = {
            "steps": 10, "step_ms": 50, "lines_per_step": 2, "checkpoint_every": 4, "seed": 0,
            "outcome": "succeed", **changes,
        }  # fmt: skip
        body = {
            "team": TEAM, "kind": "self_test", "params": params, "priority": priority,
            "resources": resources,
        }  # fmt: skip
        row = self.site.api.post("jobs", body)
        job = ShortJob(int(row["id"]), params, ends or {"succeeded"})
        self.shorts[job.id] = job
        return job

    def _submit(self) -> None:
        while not self._over.wait(self.random.uniform(0.2, 2 * self.gap_s - 0.2)):
            outcome = self.random.choices(["succeed", "fail", "crash"], [30, 2, 1])[0]
            self.short(
                ends={"succeeded"} if outcome == "succeed" else {"failed"},
                steps=self.random.randint(3, 60),
                step_ms=self.random.choice([5, 20, 50, 120]),
                lines_per_step=self.random.choice([1, 2, 7]),
                checkpoint_every=self.random.randint(2, 8),
                seed=self.random.randint(0, 1 << 30),
                outcome=outcome,
                priority=self.random.choice([-10, 0, 0, 0, 5, 20]),
            )

    # ---- trainings ----

    def _train(self) -> None:
        """One training after the other, each to the same end."""
        while not self._over.is_set():
            if len(self.trainings) == self.most_trainings:
                return
            self.train()
            while not self.over(self.trainings[-1]):
                if self._over.wait(0.5):
                    return

    def train(self) -> int:
        body = {
            "team": TEAM, "model": MODEL, "dataset_version": self.dataset, "config": self.training,
        }  # fmt: skip
        job = int(self.site.api.post("training-runs", body)["job"])
        self.trainings.append(job)
        return job

    def over(self, job_id: int) -> bool:
        return self.site.api.get(f"jobs/{job_id}")["state"] in OVER

    def current(self) -> int:
        """The training that runs or waits now, or 0."""
        row = self.site.truth.one(
            "SELECT id FROM jobs_job WHERE id = ANY(%s) AND finished_at IS NULL"
            " ORDER BY id DESC LIMIT 1",
            list(self.trainings),
        )
        return int(row["id"]) if row else 0

    def accepted(self) -> list[int]:
        return sorted([*self.shorts, *self.trainings])

    # ---- wishes ----

    def wish(self, job_id: int, what: str, body: dict[str, Any] | None = None) -> bool:
        """cancel, pause, resume or priority; False if the job has ended meanwhile."""
        try:
            self.site.api.post(f"jobs/{job_id}/{what}", body)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        if what == "cancel" and job_id in self.shorts:
            self.shorts[job_id].ends.add("canceled")
        return True

    def _guard(self, target: Any) -> None:
        try:
            target()
        except Exception as error:
            self.problems.append(f"load: {error!r}")
