"""A more urgent job finds no room: less urgent ones that can save their work give way.

Called at the end of a round of placement, with its lock held. The victims save a checkpoint and go
back to the queue (`preempting` → `pending`); the urgent job then comes first by its priority.
"""

import heapq
from collections.abc import Iterable

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.states import advance
from models_app.jobs.gangs import parts_taking
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job, JobPart
from models_app.jobs.resources import Ask
from models_app.jobs.room import Holder, Room
from models_app.jobs.signals import job_announce, send_look_on_commit
from models_app.jobs.states import ALLOWED, JobState, ReasonCode
from models_app.pools.models import Node
from models_app.pools.states import NodeState

#: The names of the nodes of jobs, by their numbers.
Where = dict[int, set[str]]
LEAVING = (JobState.PREEMPTING, JobState.PAUSING, JobState.CANCELING)


def make_room(waiting: Iterable[Job], room: Room) -> int:
    """Ask jobs to give way for those of `waiting` (in their order); returns how many were asked."""
    lowest = _lowest()
    urgent = [job for job in waiting if job.priority > lowest]
    if not urgent:
        return 0
    running = list(Job.objects.filter(state=JobState.RUNNING).order_by("priority", "-started_at"))
    leaving = list(Job.objects.filter(state__in=LEAVING))
    where = _where([*running, *leaving])
    asked = 0
    for job in urgent:
        if _room_is_coming(job, leaving, where, room):
            continue
        victims = _victims(job, running, where, room)
        for victim in victims:
            _give_way(victim, job)
            running.remove(victim)
            leaving.append(victim)
        asked += len(victims)
    return asked


def _where(jobs: list[Job]) -> Where:
    """The nodes of each job; most have one."""
    several = [job.pk for job in jobs if job.nodes > 1]
    parts = parts_taking().filter(job__in=several) if several else JobPart.objects.none()
    found: Where = {job.pk: {job.node_name} for job in jobs}
    for pk, name in parts.values_list("job_id", "node_name"):
        found[pk].add(name)
    return found


def _lowest() -> int:
    """The lowest priority of a running job: a waiting job that is not above it moves nobody."""
    first = Job.objects.filter(state=JobState.RUNNING).order_by("priority").first()
    return first.priority if first else 100


def _room_is_coming(job: Job, leaving: list[Job], where: Where, room: Room) -> bool:
    """Whether jobs that are already on their way out leave enough on some nodes."""
    fitting = []
    for node in _candidates(job, room):
        gone = [other for other in leaving if node.name in where[other.pk]]
        if _fits_without(job, node, gone, room):
            fitting.append(bool(gone))
    return len(fitting) >= job.nodes and any(fitting)


def _candidates(job: Job, room: Room) -> list[Node]:
    return [
        node
        for node in room.members(room.pools[job.pool_id])
        if node.state == NodeState.READY
        and node.name not in job.excluded_nodes
        and all(node.labels.get(key) == value for key, value in job.node_selector.items())
    ]


def _fits_without(job: Job, node: Node, others: list[Job], room: Room) -> bool:
    """Whether the job would fit on the node, and into its pool, if `others` were gone.

    Of a job on several nodes the pool is asked for all of them together, in `_victims`.
    """
    ask = Ask.of(job)
    fits = _fits(room.free[node.name], ask, [Ask.of(other) for other in others])
    return fits and (job.nodes > 1 or _fits_pool(job, others, room))


def _fits_pool(job: Job, others: list[Job], room: Room) -> bool:
    mine = [other for other in others if other.pool_id == job.pool_id]
    asks = [Ask.of(other).times(other.nodes) for other in mine]
    return _fits(room.limits[job.pool_id], Ask.of(job).times(job.nodes), asks)


def _fits(holder: Holder, ask: Ask, gone: list[Ask]) -> bool:
    for other in gone:
        holder.take(other, -1)
    try:
        return not holder.lacks(ask)
    finally:
        for other in gone:
            holder.take(other)


def _victims(job: Job, running: list[Job], where: Where, room: Room) -> list[Job]:
    """The fewest and least urgent jobs whose leaving makes room on a node, or on as many as the job
    needs; the newest first."""
    found = []
    for node in _candidates(job, room):
        here = [other for other in running if node.name in where[other.pk] and _may_go(other, job)]
        victims = _victims_on(job, node, here, room)
        if victims is not None:
            found.append(victims)
    if len(found) < job.nodes:
        return []
    best = heapq.nsmallest(job.nodes, found, key=_cost)
    together = list({victim.pk: victim for victims in best for victim in victims}.values())
    return together if _fits_pool(job, together, room) else []


def _victims_on(job: Job, node: Node, running: list[Job], room: Room) -> list[Job] | None:
    """Jobs whose leaving makes room on this node; None: there are not enough."""
    if job.nodes > 1 and not room.refusal(job, node):
        return []
    chosen: list[Job] = []
    for other in running:
        chosen.append(other)
        if _fits_without(job, node, chosen, room):
            return _without_needless(job, node, chosen, room)
    return None


def _may_go(other: Job, job: Job) -> bool:
    kind = job_kinds.get(other.kind)
    return other.priority < job.priority and kind.pausable


def _without_needless(job: Job, node: Node, chosen: list[Job], room: Room) -> list[Job]:
    for other in list(chosen[:-1]):
        rest = [each for each in chosen if each is not other]
        if _fits_without(job, node, rest, room):
            chosen = rest
    return chosen


def _cost(victims: list[Job]) -> tuple[int, int]:
    return max((job.priority for job in victims), default=-101), len(victims)


def _give_way(victim: Job, job: Job) -> None:
    reason = f"It gives way to job {job.pk}, whose priority is {job.priority}."
    advance(
        victim,
        JobState.PREEMPTING,
        allowed=ALLOWED,
        yield_reason=ReasonCode.PREEMPTED,
        reason=reason,
    )
    audit_record(actor=SYSTEM, action="job.preempted", obj=victim, changes={"for": job.pk})
    job_announce(victim)
    send_look_on_commit(victim)
