"""How long until an installation is back at work after a fault."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

from tests.chaos.load import Load
from tests.chaos.site import ChaosSite
from tests.flows.site import OVER


@dataclass
class Wound:
    """One fault, what was being done at that moment, and when it was being done again."""

    fault: str
    at: float
    job: int = 0
    step: int = -1
    healed_s: float | None = None
    #: by the clock of the machine, which is the database's, too
    clock: float = field(default_factory=time.time)
    #: until a next attempt of the training began, if the fault ended one
    claimed_s: float | None = None

    def claimed(self, starts: list[float], next_clock: float) -> None:
        """`starts`: when attempts of the job began; it counts until the next fault."""
        later = [start for start in starts if self.clock < start < next_clock]
        self.claimed_s = min(later) - self.clock if later else None


@dataclass
class Recovery:
    """A thread that asks the console, as a person would, until the work is farther than it was.

    The work is the training that was going on; without one, any answer of the console.
    """

    site: ChaosSite
    load: Load
    wounds: list[Wound] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="recovery", daemon=True)

    def __enter__(self) -> "Recovery":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def wound(self, fault: str) -> Wound:
        """Call it right before a fault."""
        job = self.load.current()
        row = self.site.truth.one("SELECT step FROM jobs_job WHERE id = %s", job) if job else None
        step = -1 if row is None or row["step"] is None else int(row["step"])
        found = Wound(fault, time.monotonic(), job, step)
        self.wounds.append(found)
        return found

    def _look(self) -> None:
        while not self._over.wait(0.3):
            for wound in [each for each in self.wounds if each.healed_s is None]:
                if self._healed(wound):
                    wound.healed_s = time.monotonic() - wound.at

    def _healed(self, wound: Wound) -> bool:
        try:
            row = self._ask(f"jobs/{wound.job}" if wound.job else "jobs?limit=1")
        except (OSError, ValueError):
            return False
        if not wound.job:
            return True
        return row["state"] in OVER or (row["step"] or 0) > wound.step

    def _ask(self, path: str) -> Any:
        request = Request(f"{self.site.stack.url}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {self.site.token}")
        with urlopen(request, timeout=2) as answer:
            return json.loads(answer.read())
