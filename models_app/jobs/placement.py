"""Places waiting jobs on nodes: filter, score, reserve, in one transaction.

Any process may ask for a round at any time; a lock of the database lets one run at once, and that
one goes on until it has seen every job that came meanwhile, so nobody waits for it. A reserved
place is the state `scheduled`; the node claims it (`claims.jobs_claim`). A job that needs several
nodes gets all of them in one transaction or none (`gangs`). Order: priority, then the team that
holds the least of the pool by its weight, then age. Smaller jobs may pass one that does not fit
yet, but after KEEP_AFTER the roomiest node is kept for it.
"""

import datetime as dt
import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from models_app.core.clock import now
from models_app.jobs.gangs import parts_place
from models_app.jobs.kind import inline_kinds, job_kinds
from models_app.jobs.models import Job
from models_app.jobs.preemption import make_room
from models_app.jobs.resources import Ask
from models_app.jobs.room import HEARD_WITHIN, Room
from models_app.jobs.signals import job_announce, send_go_on_commit
from models_app.jobs.states import JobState
from models_app.jobs.suitability import Suitability
from models_app.pools.models import Node
from models_app.pools.selectors import nodes_ready
from models_app.pools.states import NodeState

#: Identifies the lock of placement among the database's advisory locks.
LOCK = 0x736C_6970_0001
PAGE = 500
#: So long may smaller jobs pass one that needs more room than is free.
KEEP_AFTER = dt.timedelta(seconds=60)
#: What a round reads of a waiting job: the page is read again whenever room has become free.
NEEDED = (
    "kind", "state", "priority", "epoch", "node_name", "excluded_nodes", "node_selector", "pool_id",
    "params", "nodes", "cpus", "memory_mib", "disk_mib", "gpus", "run_after", "created_at",
    "team__slug",
)  # fmt: skip


def place_on_commit() -> None:
    """Look for places when the transaction commits: something waits, or room has become free."""
    transaction.on_commit(place_jobs, robust=True)


def place_jobs() -> int:
    """Rounds until no new job waits; returns how many jobs got a place.

    If another process is at it, it sees our job, too: it looks again after it has let go of the
    lock, and by then our transaction had been committed.
    """
    placed, passed_over, waiting = 0, set[int](), _waiting()
    while waiting.exclude(pk__in=passed_over).exists():
        with transaction.atomic():
            if not _locked():
                return placed
            # A page full of jobs that fit nowhere must not hide those behind it.
            rest = waiting.exclude(pk__in=passed_over).only(*NEEDED).select_related("team")
            jobs = list(rest.order_by("-priority", "pk")[:PAGE])
            room = Room()
            places = _place(jobs, room)
        placed += len(places)
        passed_over |= {job.pk for job in jobs} - places
        if not room.has_free_slot():
            # Nothing else can start behind the page.
            waiting = waiting.filter(kind__in=inline_kinds())
    return placed


def first_place(job: Job) -> None:
    """Give a new inline job that asks for nothing its node at once, if one is ready.

    It holds no part of any node, so there is nothing to reserve and no round to wait for.
    """
    if not Ask.of(job).nothing:
        return
    nodes = nodes_ready().filter(labels__contains={**job.pool.selector, **job.node_selector})
    if job_kinds.get(job.kind).on_console_disk:
        nodes = nodes.filter(shares_store=True)
    seen = dict(nodes.values_list("name", "last_seen_at"))
    heard = [name for name, at in seen.items() if now() - at < HEARD_WITHIN]
    if seen:
        job.state = JobState.SCHEDULED
        job.node_name = random.choice(heard or list(seen))
        job.scheduled_at = job.sent_at = now()


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _waiting() -> QuerySet[Job]:
    return Job.objects.filter(state=JobState.PENDING, run_after__lte=Now())


def _place(jobs: list[Job], room: Room) -> set[int]:
    """The numbers of the jobs that got a place."""
    placed, left = set[int](), []
    for job in _fairly(jobs, room):
        nodes = choose(job, room)
        if not nodes:
            left.append(job)
            _keep(job, room)
        elif reserve(job, nodes):
            for node in nodes:
                room.take(job, node)
            placed.add(job.pk)
    if left:
        make_room(left, room)
    for name, count in Counter(job.node_name for job in jobs if job.pk in placed).items():
        send_go_on_commit(name, count)
    return placed


def _fairly(jobs: list[Job], room: Room) -> Iterator[Job]:
    """By priority; among equals whoever's team holds least of its pool; then by age."""
    by_priority: dict[int, dict[tuple[int, int], deque[Job]]] = defaultdict(
        lambda: defaultdict(deque)
    )
    for job in jobs:
        by_priority[job.priority][job.pool_id, job.team_id].append(job)
    for priority in sorted(by_priority, reverse=True):
        queues = by_priority[priority]
        heap = [_turn(queue, room) for queue in queues.values()]
        heapq.heapify(heap)
        while heap:
            _share, _age, key = heapq.heappop(heap)
            queue = queues[key]
            yield queue.popleft()
            if queue:
                # Its share may have grown by what was just placed.
                heapq.heappush(heap, _turn(queue, room))


def _turn(queue: "deque[Job]", room: Room) -> tuple[float, int, tuple[int, int]]:
    job = queue[0]
    key = (job.pool_id, job.team_id)
    return room.share(*key, job.team.slug), job.pk, key


def choose(job: Job, room: Room) -> list[Node]:
    """The best nodes of its pool with room for the job, as many as it needs, or none."""
    if room.over_limit(job):
        return []
    members = room.members(room.pools[job.pool_id])
    fitting = [node for node in members if not room.refusal(job, node)]
    if len(fitting) < job.nodes and job.excluded_nodes and not _elsewhere(job, members):
        # It has failed everywhere it may run: anywhere is better than nowhere.
        job.excluded_nodes = []
        fitting = [node for node in members if not room.refusal(job, node)]
    if len(fitting) < job.nodes:
        return []
    suits = Suitability(job, room, fitting)
    best = heapq.nsmallest(job.nodes, fitting, key=suits.score)
    job.placement = suits.why(best[0])
    return best


def _elsewhere(job: Job, members: list[Node]) -> bool:
    others = [
        node
        for node in members
        if node.state == NodeState.READY and node.name not in job.excluded_nodes
    ]
    return len(others) >= job.nodes


def _keep(job: Job, room: Room) -> None:
    """A job that has waited long for more room than is free anywhere gets the next free one.

    One that needs several nodes gets all of them kept or none, so that it waits for no other job
    that has some of them kept and waits for it.
    """
    if now() - max(job.run_after, job.created_at) < KEEP_AFTER or room.over_limit(job):
        return
    ask = Ask.of(job)
    candidates = [
        node
        for node in room.members(room.pools[job.pool_id])
        if node.state == NodeState.READY
        and node.name not in room.kept
        and all(amount <= getattr(node, name) for name, amount in ask.items())
    ]
    if len(candidates) >= job.nodes:
        load = {node.name: room.free[node.name].load() for node in candidates}
        for name in heapq.nsmallest(job.nodes, load, key=load.__getitem__):
            room.kept[name] = job.pk


def reserve(job: Job, nodes: list[Node]) -> bool:
    """pending → scheduled on these nodes, if it still waits; the go signal follows the commit."""
    node = nodes[0]
    hit = Job.objects.filter(pk=job.pk, state=JobState.PENDING).update(
        state=JobState.SCHEDULED,
        node_name=node.name,
        scheduled_at=Now(),
        sent_at=Now(),
        hold_until=None,
        yield_reason="",
        excluded_nodes=job.excluded_nodes,
        placement=job.placement,
    )
    if hit:
        job.state, job.node_name = JobState.SCHEDULED, node.name
        if job.nodes > 1:
            parts_place(job, nodes)
        job_announce(job)
    return bool(hit)
