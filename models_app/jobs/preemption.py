"""A more urgent job finds no room: less urgent ones that can save their work give way.

Called at the end of a round of placement, with its lock held. The victims save a checkpoint and go
back to the queue (`preempting` → `pending`); the urgent job then comes first by its priority.
"""

from collections.abc import Iterable

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.states import advance
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.resources import Ask
from models_app.jobs.room import Room
from models_app.jobs.signals import job_announce, send_look_on_commit
from models_app.jobs.states import ALLOWED, JobState, ReasonCode
from models_app.pools.models import Node
from models_app.pools.states import NodeState

LEAVING = (JobState.PREEMPTING, JobState.PAUSING, JobState.CANCELING)


def make_room(waiting: Iterable[Job], room: Room) -> int:
    """Ask jobs to give way for those of `waiting` (in their order); returns how many were asked."""
    lowest = _lowest()
    urgent = [job for job in waiting if job.priority > lowest]
    if not urgent:
        return 0
    running = list(Job.objects.filter(state=JobState.RUNNING).order_by("priority", "-started_at"))
    leaving = list(Job.objects.filter(state__in=LEAVING))
    asked = 0
    for job in urgent:
        if _room_is_coming(job, leaving, room):
            continue
        victims = _victims(job, running, room)
        for victim in victims:
            _give_way(victim, job)
            running.remove(victim)
            leaving.append(victim)
        asked += len(victims)
    return asked


def _lowest() -> int:
    """The lowest priority of a running job: a waiting job that is not above it moves nobody."""
    first = Job.objects.filter(state=JobState.RUNNING).order_by("priority").first()
    return first.priority if first else 100


def _room_is_coming(job: Job, leaving: list[Job], room: Room) -> bool:
    """Whether jobs that are already on their way out leave enough on some node."""
    return any(
        _fits_without(job, node, [other for other in leaving if other.node_name == node.name], room)
        for node in _candidates(job, room)
        if any(other.node_name == node.name for other in leaving)
    )


def _candidates(job: Job, room: Room) -> list[Node]:
    return [
        node
        for node in room.members(room.pools[job.pool_id])
        if node.state == NodeState.READY
        and node.name not in job.excluded_nodes
        and all(node.labels.get(key) == value for key, value in job.node_selector.items())
    ]


def _fits_without(job: Job, node: Node, others: list[Job], room: Room) -> bool:
    """Whether the job would fit on the node, and into its pool, if `others` were gone."""
    ask = Ask.of(job)
    holders = (room.free[node.name], room.limits[job.pool_id])
    mine = [other for other in others if other.pool_id == job.pool_id]
    for holder, gone in zip(holders, (others, mine), strict=True):
        for other in gone:
            holder.take(Ask.of(other), -1)
    try:
        return not any(holder.lacks(ask) for holder in holders)
    finally:
        for holder, gone in zip(holders, (others, mine), strict=True):
            for other in gone:
                holder.take(Ask.of(other))


def _victims(job: Job, running: list[Job], room: Room) -> list[Job]:
    """The fewest and least urgent jobs of one node whose leaving makes room; the newest first."""
    best: list[Job] = []
    for node in _candidates(job, room):
        chosen: list[Job] = []
        for other in running:
            if other.node_name == node.name and _may_go(other, job):
                chosen.append(other)
                if _fits_without(job, node, chosen, room):
                    chosen = _without_needless(job, node, chosen, room)
                    if not best or _cost(chosen) < _cost(best):
                        best = chosen
                    break
    return best


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
    return max(job.priority for job in victims), len(victims)


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
