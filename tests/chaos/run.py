"""One run: an installation, a load, the faults of a seed, and then every invariant."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.answers import Asking, unexcused
from tests.chaos.facts import Facts, gather
from tests.chaos.faults import CATALOGUE, Fault, Scene, Skip
from tests.chaos.invariants import broken
from tests.chaos.invariants.versions import versions_are_whole, weights_are_equal
from tests.chaos.load import Load
from tests.chaos.recovery import Recovery, Wound
from tests.chaos.site import ChaosSite
from tests.chaos.watch import Watch
from tests.flows.site import until

#: A fault that ends attempts waits so long for a new checkpoint since the last such fault.
CHECKPOINT_WAIT_S = 25
SETTLE_S = 150


@dataclass
class Outcome:
    """What came of one seed."""

    seed: int
    faults: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    wounds: list[Wound] = field(default_factory=list)
    jobs: int = 0
    trainings: int = 0
    attempts: int = 0
    lines: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    #: what those were told that failed
    refusals: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    data_dir: str = ""


@dataclass
class Run:
    """Breaks a site by a seed while a load is on it, and looks at what is left."""

    site: ChaosSite
    load: Load
    seed: int
    #: SHA-256 of the weights that the training makes when nothing happens; asked for at the end
    reference: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(f"faults {self.seed}")
        self.outcome = Outcome(self.seed, data_dir=str(self.site.stack.data_dir))
        self._saved = -1

    def go(self, faults: list[str], asking: Asking | None = None) -> Outcome:
        """Load, faults, settling, invariants. The site is closed at the end."""
        with Watch(self.site) as watch:
            with self.load, Recovery(self.site, self.load) as recovery:
                if asking:
                    asking.__enter__()
                try:
                    for name in faults:
                        self._break(name, recovery)
                finally:
                    self.load.finish()
                    self._settle()
                    if asking:
                        asking.__exit__()
                self.outcome.wounds = recovery.wounds
            facts = gather(self.site, self.load, watch)
            self._judge(facts)
            if asking:
                self._judge_answers(asking, watch)
        left = self.site.close()
        self.outcome.violations += [f"left over after the stop: {line}" for line in left]
        return self.outcome

    def _break(self, name: str, recovery: Recovery) -> None:
        fault = CATALOGUE[name](Scene(self.site, self.load, self.random))
        self._wait_for_work(fault)
        wound = recovery.wound(name)
        try:
            fault.inject()
        except Skip as reason:
            self.outcome.skipped[name] = str(reason)
            recovery.wounds.remove(wound)
            return
        try:
            time.sleep(fault.hold_s())
        finally:
            fault.mend()
        self.outcome.faults.append(name)
        time.sleep(self.random.uniform(0.5, 4))

    def _wait_for_work(self, fault: Fault) -> None:
        """A training that never gets to its next checkpoint would rightly be given up."""
        if not fault.harmful:
            return
        deadline = time.monotonic() + CHECKPOINT_WAIT_S
        while time.monotonic() < deadline and not self._all_trained():
            saved = self._newest_checkpoint()
            if saved > self._saved:
                self._saved = saved
                return
            time.sleep(0.2)

    def _all_trained(self) -> bool:
        last = self.load.most_trainings
        return len(self.load.trainings) == last and not self.load.current()

    def _newest_checkpoint(self) -> int:
        """Grows with every checkpoint of a training and with every new training."""
        row = self.site.truth.one(
            "SELECT j.id, coalesce(max(c.step), 0) AS step FROM jobs_job j"
            " LEFT JOIN jobs_checkpoint c ON c.job_id = j.id"
            " WHERE j.id = %s GROUP BY j.id",
            self.load.current(),
        )
        return int(row["id"]) * 1_000_000 + int(row["step"]) if row and row["step"] else -1

    def _settle(self) -> None:
        """Everything is mended: what was accepted comes to its end."""
        query = "SELECT count(*) AS n FROM jobs_job WHERE id = ANY(%s) AND finished_at IS NULL"
        paused = "SELECT id FROM jobs_job WHERE id = ANY(%s) AND state = 'paused'"

        def over() -> bool:
            ids = self.load.accepted()
            for row in self.site.truth.rows(paused, ids):
                self.load.wish(int(row["id"]), "resume")
            found = self.site.truth.one(query, ids)
            time.sleep(0.2)
            return found is not None and found["n"] == 0

        try:
            until(over, "all jobs end", SETTLE_S)
        except AssertionError as error:
            self.outcome.violations.append(str(error))

    def _judge(self, facts: Facts) -> None:
        found, data_dir = self.outcome, Path(self.site.stack.data_dir)
        found.violations += self.load.problems
        found.violations += broken(facts, self.load)
        found.violations += versions_are_whole(facts, data_dir)
        if self.reference:
            found.violations += weights_are_equal(facts, self.load, self.reference())
        found.violations += [
            f"the launcher: {text}"
            for text in (data_dir / "log" / "stack.log").read_text(errors="replace").splitlines()
            if "had to be killed" in text
        ]
        found.violations += [f"the console answered {text}" for text in self.site.api.wrong]
        found.violations += [
            f"after {wound.fault} nothing came back to work"
            for wound in found.wounds
            if wound.healed_s is None
        ]
        self._time_claims(facts)
        found.jobs, found.trainings = len(facts.jobs), len(self.load.trainings)
        found.attempts = sum(len(rows) for rows in facts.attempts.values())
        found.lines = sum(len(lines) for lines in facts.lines.values())
        found.statuses = dict(self.site.api.statuses)

    def _time_claims(self, facts: Facts) -> None:
        wounds = self.outcome.wounds
        clocks = [*(wound.clock for wound in wounds[1:]), float("inf")]
        for wound, until_clock in zip(wounds, clocks, strict=True):
            rows = facts.attempts.get(wound.job, []) if CATALOGUE[wound.fault].harmful else []
            wound.claimed([row["started_at"].timestamp() for row in rows], until_clock)

    def _judge_answers(self, asking: Asking, watch: Watch) -> None:
        self.outcome.answers = dict(asking.counts())
        refused = Counter(each.error[:60] for each in asking.answers if each.how == "failed")
        self.outcome.refusals = dict(refused)
        self.outcome.violations += [
            f"a request {answer.how} while a replica lived: {answer.error}"
            for answer in unexcused(asking.answers, watch)
        ]
