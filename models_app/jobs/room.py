"""How much is free: of each node, each pool, and how much each team holds. Read once a round."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.utils.translation import gettext as _

from models_app.core.clock import now
from models_app.jobs.gangs import OTHERS, parts_taking
from models_app.jobs.kind import inline_kinds, job_kinds
from models_app.jobs.models import Job
from models_app.jobs.resources import COUNTED, Ask
from models_app.jobs.states import PLACED
from models_app.pools.models import Node, Pool
from models_app.pools.selectors import carries, node_list
from models_app.pools.states import NodeState

SUMS = {name: Sum(name) for name in COUNTED if name != "slots"}
PART_SUMS = {name: Sum(f"job__{name}") for name in COUNTED if name != "slots"}


#: A node that has missed its last two signs of life may be dead: it is chosen last, and not at all
#: for one of several nodes of a job, all of which would wait for it.
HEARD_WITHIN = dt.timedelta(seconds=7)


@dataclass
class Holder:
    """Something of which jobs hold parts: a node, or a pool within its limits."""

    total: dict[str, float | None]
    used: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def lacks(self, ask: Ask) -> list[str]:
        """Resources of which less is free than asked for."""
        return [
            name
            for name, amount in ask.items()
            if amount and (total := self.total[name]) is not None
            and self.used[name] + amount > total + 1e-9
        ]  # fmt: skip

    def free(self, name: str) -> float:
        total = self.total[name]
        return float("inf") if total is None else max(0.0, total - self.used[name])

    def take(self, ask: Ask, sign: int = 1) -> None:
        for name, amount in ask.items():
            self.used[name] += sign * amount

    def load(self) -> float:
        """The largest share of a resource that is held."""
        shares = [self.used[name] / total for name, total in self.total.items() if total]
        return max(shares, default=0.0)


class Room:
    """A snapshot of all nodes and pools, kept up to date while a round places jobs."""

    def __init__(self) -> None:
        self.pools = {pool.pk: pool for pool in Pool.objects.all()}
        self.nodes = {node.name: node for node in node_list().defer("capacity", "health")}
        self.free = {
            name: Holder({key: float(getattr(node, key)) for key in COUNTED})
            for name, node in self.nodes.items()
        }
        self.limits = {
            pk: Holder({key: getattr(pool, key) for key in COUNTED})
            for pk, pool in self.pools.items()
        }
        #: (pool, team) -> largest share of a resource of the pool that the team holds.
        self.held: dict[tuple[int, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        #: Nodes kept for a job that needs more room than is free anywhere.
        self.kept: dict[str, int] = {}
        self._count()
        self._sizes = {pk: self._size(pool) for pk, pool in self.pools.items()}

    def _count(self) -> None:
        rows: Any = (
            Job.objects.filter(state__in=sorted(PLACED))
            .exclude(node_name="")  # what runs elsewhere holds nothing here
            .values("node_name", "pool_id", "team_id")
            .annotate(slots=Count("pk", filter=~Q(kind__in=inline_kinds())), **SUMS)
            .order_by()
        )
        parts: Any = (
            parts_taking()
            .filter(OTHERS)
            .values("node_name", pool_id=F("job__pool_id"), team_id=F("job__team_id"))
            .annotate(slots=Count("pk"), **PART_SUMS)
            .order_by()
        )
        for row in [*rows, *parts]:
            for name in COUNTED:
                amount = float(row[name] or 0)
                if row["node_name"] in self.free:
                    self.free[row["node_name"]].used[name] += amount
                self.limits[row["pool_id"]].used[name] += amount
                self.held[row["pool_id"], row["team_id"]][name] += amount

    def _size(self, pool: Pool) -> dict[str, float]:
        members = self.members(pool)
        size = {}
        for name in COUNTED:
            total = float(sum(getattr(node, name) for node in members))
            limit = getattr(pool, name)
            size[name] = min(total, float(limit)) if limit is not None else total
        return size

    def size(self, pool_id: int) -> dict[str, float]:
        """What jobs of a pool can hold together: its limits, or what its nodes have."""
        return self._sizes[pool_id]

    def members(self, pool: Pool) -> list[Node]:
        """The nodes of a pool."""
        return [node for node in self.nodes.values() if carries(node, pool.selector)]

    def share(self, pool_id: int, team_id: int, slug: str) -> float:
        """Dominant share of a team in a pool, by its weight: who has least comes next."""
        size = self._sizes[pool_id]
        held = self.held[pool_id, team_id]
        largest = max((held[name] / size[name] for name in COUNTED if size[name]), default=0.0)
        return largest / float(self.pools[pool_id].shares.get(slug, 1.0))

    def refusal(self, job: Job, node: Node) -> str:
        """Why this job is not placed on this node now, for people; empty if it could be."""
        if node.state != NodeState.READY:
            return _("it is %(state)s") % {"state": node.get_state_display().lower()}
        silent = job.nodes > 1 and now() - node.last_seen_at > HEARD_WITHIN
        if silent or not node.ready:  # type: ignore[attr-defined]
            return _("it gives no sign of life")
        if not carries(node, job.node_selector):
            return _("it lacks the labels asked for")
        if job_kinds.get(job.kind).on_console_disk and not node.shares_store:
            return _("it does not see the console's disk")
        if node.name in job.excluded_nodes:
            return _("the job failed there or cannot run there")
        if self.kept.get(node.name, job.pk) != job.pk:
            return _("its room is kept for job %(job)s") % {"job": self.kept[node.name]}
        lacking = self.free[node.name].lacks(Ask.of(job))
        if lacking:
            return ", ".join(self._short(job, node, name) for name in lacking)
        return ""

    def _short(self, job: Job, node: Node, name: str) -> str:
        values: dict[str, Any] = {
            "free": f"{self.free[node.name].free(name):,g}",
            "unit": COUNTED[name],
        }
        return _("only %(free)s %(unit)s are free") % values

    def has_free_slot(self) -> bool:
        """Whether any node could take one more job."""
        return any(
            self.nodes[name].state == NodeState.READY and holder.free("slots") >= 1
            for name, holder in self.free.items()
        )

    def over_limit(self, job: Job) -> list[str]:
        """Resources of which the job's pool may hold no more."""
        return self.limits[job.pool_id].lacks(Ask.of(job).times(job.nodes))

    def take(self, job: Job, node: Node) -> None:
        """The job now holds its part of a node."""
        ask = Ask.of(job)
        self.free[node.name].take(ask)
        self.limits[job.pool_id].take(ask)
        for name, amount in ask.items():
            self.held[job.pool_id, job.team_id][name] += amount
