"""What people do while everything moves: drain, pause, cancel, urgent work."""

import time

from tests.chaos.faults.base import Fault
from tests.chaos.site import HOME
from tests.flows.site import until


class Drained(Fault):
    """A node is emptied, then used again."""

    name = "node_drained"
    harmful = False
    holds_s = (4, 12)

    def inject(self) -> None:
        self.victim = self.scene.training_node()
        self.site.api.post(f"nodes/{self.victim}/drain", {"deadline_s": 600, "reason": "chaos"})

    def mend(self) -> None:
        self.site.api.post(f"nodes/{self.victim}/uncordon")


class Paused(Fault):
    """The training and some short jobs wait for a while."""

    name = "paused"
    harmful = False
    holds_s = (1, 6)

    def inject(self) -> None:
        some = self.scene.running()[:3]
        self.victims = [job for job in [self.load.current(), *some] if job]
        self.victims = [job for job in self.victims if self.load.wish(job, "pause")]

    def mend(self) -> None:
        for job in self.victims:
            self._resume(job)

    def _resume(self, job: int) -> None:
        """Once it is paused; it may end before that."""

        def resumed() -> bool:
            state = self.site.api.get(f"jobs/{job}")["state"]
            return state != "pausing" and (state != "paused" or self.load.wish(job, "resume"))

        until(resumed, f"job {job} is resumed")


class Cancelled(Fault):
    """Short jobs are cancelled wherever they are: waiting, starting, running, ending."""

    name = "cancelled"
    harmful = False

    def inject(self) -> None:
        rows = self.site.truth.rows(
            "SELECT id FROM jobs_job WHERE id = ANY(%s) AND finished_at IS NULL ORDER BY id",
            list(self.load.shorts),
        )
        ids = [int(row["id"]) for row in rows]
        for job in self.random.sample(ids, min(4, len(ids))):
            self.load.shorts[job].ends.add("canceled")
            self.load.wish(job, "cancel")


class Preempted(Fault):
    """All slots are taken and urgent work comes: the training has to give way."""

    name = "preempted"
    harmful = False

    def inject(self) -> None:
        training = self.load.current()
        if training:
            self.load.wish(training, "priority", {"priority": -50})
        for _ in range(self._free() + 1):
            self.load.short(steps=40, step_ms=100, seed=self.random.randint(0, 1 << 30))
        self.urgent = self.load.short(steps=5, priority=45, seed=self.random.randint(0, 1 << 30))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not self._began():
            time.sleep(0.2)

    def _began(self) -> bool:
        query = "SELECT 1 FROM jobs_job WHERE id = %s AND started_at IS NOT NULL"
        return self.site.truth.one(query, self.urgent.id) is not None

    def _free(self) -> int:
        row = self.site.truth.one(
            "SELECT (SELECT sum(slots) FROM pools_node WHERE state = 'ready')"
            " - (SELECT count(*) FROM jobs_job WHERE state = 'scheduled'"
            " OR lease_until IS NOT NULL) AS free"
        )
        return max(0, min(12, int(row["free"] or 0))) if row else 0


class HomeCordoned(Fault):
    """The launcher's node takes nothing new for a while: everything goes to the others."""

    name = "node_cordoned"
    harmful = False
    holds_s = (3, 8)

    def inject(self) -> None:
        self.site.api.post(f"nodes/{HOME}/cordon", {"reason": "chaos"})

    def mend(self) -> None:
        self.site.api.post(f"nodes/{HOME}/uncordon")
