"""The fence for machines without control groups: it looks often, and ends what has grown too large.

It cannot stop a job from taking too much for a moment, and shares no processor out by time; the
record of the attempt says so. RLIMIT_AS would count address space, of which torch reserves far more
than it uses, and RLIMIT_NPROC counts all processes of the user: neither is a limit of one job.
"""

from typing import Any

from models_app.jobs.states import ReasonCode
from workers.isolation.fence import Breach, Fence, resident_mib
from workers.isolation.processes import Process, descendants, table

#: How old the list of processes may be when it is looked at for limits.
LOOK_EVERY_S = 0.25


class PollingFence(Fence):
    """Members: the session of the first process, its descendants, and whom we have seen of them."""

    backend = "polling"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: pid -> start time of everything ever seen, so that a reused number is not ours.
        self._seen: dict[int, int] = {}
        self._most = {"memory_mib": 0, "pids": 0}

    def entered(self, leader: Process) -> None:
        super().entered(leader)
        self._seen[leader.pid] = leader.started

    def members(self) -> set[int]:
        return self._members(table.rows())

    def breach(self) -> Breach | None:
        rows = table.rows(max_age_s=LOOK_EVERY_S)
        members = self._members(rows)
        memory = resident_mib(members, self.limits.memory_mib)
        threads = sum(rows[pid].threads for pid in members)
        self._most["memory_mib"] = max(self._most["memory_mib"], memory)
        self._most["pids"] = max(self._most["pids"], threads)
        if self.limits.memory_mib and memory > self.limits.memory_mib:
            return Breach(code=ReasonCode.OOM, used=memory, limit=self.limits.memory_mib)
        if self.limits.pids and threads > self.limits.pids:
            return Breach(code=ReasonCode.PIDS, used=threads, limit=self.limits.pids)
        return None

    def used(self) -> dict[str, Any]:
        return dict(self._most)

    def where(self) -> dict[str, str]:
        if self.leader is None:
            return {}
        pid = self.leader.pid
        return {"memory": f"/proc/{pid}/status", "session": f"ps -s {pid} -o pid,rss,nlwp,args"}

    def enforced(self) -> dict[str, str]:
        looked = f"looked at every {LOOK_EVERY_S} s"
        return {"memory": looked, "pids": looked, "cpus": "kept to its processors, nice 5"}

    def _members(self, rows: dict[int, Process]) -> set[int]:
        if self.leader is None:
            return set()
        roots = {pid for pid, at in self._seen.items() if pid in rows and rows[pid].started == at}
        first = rows.get(self.leader.pid)
        # A session keeps its number in use: only a newer leader of that number makes it strange.
        if first is None or first.started == self.leader.started:
            roots |= {row.pid for row in rows.values() if row.session == self.leader.pid}
        found = descendants(rows, roots)
        self._seen = {pid: rows[pid].started for pid in found}
        self._seen[self.leader.pid] = self.leader.started
        return {pid for pid in found if rows[pid].alive}
