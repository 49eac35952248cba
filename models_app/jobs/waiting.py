"""Why a job waits: one sentence, and node by node."""

from dataclasses import dataclass

from django.db.models import Q
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.core.clock import now
from models_app.jobs.gangs import nodes_of
from models_app.jobs.models import Job
from models_app.jobs.resources import COUNTED, Ask
from models_app.jobs.room import Room
from models_app.jobs.states import JobState
from models_app.pools.models import Node


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why one node does not take the job now."""

    node: str
    reason: str


def why_waiting(*, job: Job, room: Room | None = None) -> str:
    """One sentence that says why a job does not run yet; empty if it does or is over.

    A list of jobs gives the same `room` for all, so that nodes are read once.
    """
    if job.state == JobState.SCHEDULED:
        return _("It is starting on %(node)s.") % {"node": ", ".join(nodes_of(job))}
    if job.state == JobState.PAUSED:
        return job.reason or _("It is paused.")
    if job.state != JobState.PENDING:
        return ""
    later = _why_later(job)
    return later or _why_no_room(job, room or Room())


def refusals(*, job: Job) -> list[Refusal]:
    """What each node of its pool says; empty unless the job waits."""
    if job.state != JobState.PENDING:
        return []
    room = Room()
    members = room.members(room.pools[job.pool_id])
    found = [(node.name, room.refusal(job, node)) for node in members]
    return [Refusal(node=name, reason=reason) for name, reason in found if reason]


def _why_later(job: Job) -> str:
    if job.run_after <= now() or not _starts_later(job):
        return ""
    at = date_format(localtime(job.run_after), "H:i:s")
    if job.hold_until is not None:
        return _(
            "Its node %(node)s was lost together with others, so it is held until %(time)s."
            " Resume it to start it elsewhere at once."
        ) % {"node": job.node_name, "time": at}
    return _("It is tried again at %(time)s, after the last attempt failed.") % {"time": at}


def _starts_later(job: Job) -> bool:
    # Jobs are placed by the database's clock, which need not agree with ours.
    return Job.objects.filter(pk=job.pk, run_after__gt=Now()).exists()


def _why_no_room(job: Job, room: Room) -> str:
    pool = room.pools[job.pool_id]
    over = room.over_limit(job)
    if over:
        return _why_over(job, room, over)
    members = room.members(pool)
    ready = [node for node in members if node.ready and node.state == "ready"]  # type: ignore[attr-defined]
    if not ready:
        return _("No ready node belongs to the pool %(pool)s. Start a worker, or wait for one.") % {
            "pool": pool.name
        }
    if job.nodes > 1:
        return _why_several(job, room, members)
    ask = Ask.of(job)
    large = [
        node
        for node in ready
        if all(amount <= getattr(node, name) + 1e-9 for name, amount in ask.items())
    ]
    if not large:
        return _why_too_large(ask, pool.name, ready)
    if all(room.refusal(job, node) for node in large):
        return _why_full(job, room, large)
    return _why_queue(job)


def _why_over(job: Job, room: Room, over: list[str]) -> str:
    name = over[0]
    limit = room.limits[job.pool_id]
    return _(
        "The pool %(pool)s is at its limit: %(used)s of %(total)s %(unit)s are taken"
        " and the job needs %(needed)s."
    ) % {
        "pool": room.pools[job.pool_id].name,
        "used": f"{limit.used[name]:,g}",
        "total": f"{limit.total[name]:,g}",
        "unit": COUNTED[name],
        "needed": f"{getattr(Ask.of(job).times(job.nodes), name):,g}",
    }


def _why_several(job: Job, room: Room, members: list[Node]) -> str:
    there = sum(not room.refusal(job, node) for node in members)
    if there >= job.nodes:
        return _why_queue(job)
    asked = [(name, amount) for name, amount in Ask.of(job).items() if amount]
    if len(asked) > 1:  # that a slot is needed goes without saying
        asked = [(name, amount) for name, amount in asked if name != "slots"]
    text = ngettext(
        "It waits for %(nodes)s nodes with %(asked)s free on each; %(there)s is there.",
        "It waits for %(nodes)s nodes with %(asked)s free on each; %(there)s are there.",
        there,
    )
    words = ", ".join(f"{amount:,g} {COUNTED[name]}" for name, amount in asked)
    return text % {"nodes": job.nodes, "asked": words, "there": there}


def _why_too_large(ask: Ask, pool: str, ready: list[Node]) -> str:
    for name, amount in ask.items():
        most = max(float(getattr(node, name)) for node in ready)
        if amount > most:
            return _(
                "It needs %(needed)s %(unit)s and the largest ready node of the pool %(pool)s"
                " has %(most)s."
            ) % {
                "needed": f"{amount:,g}",
                "unit": COUNTED[name],
                "pool": pool,
                "most": f"{most:,g}",
            }
    return _("No ready node of the pool %(pool)s is large enough in everything at once.") % {
        "pool": pool
    }


def _why_full(job: Job, room: Room, large: list[Node]) -> str:
    best = min(large, key=lambda node: len(room.free[node.name].lacks(Ask.of(job))))
    count = len(large)
    text = ngettext(
        "The one node that could run it is busy: on %(node)s %(reason)s.",
        "All %(count)s nodes that could run it are busy: on %(node)s %(reason)s.",
        count,
    )
    return text % {"count": count, "node": best.name, "reason": room.refusal(job, best)}


def _why_queue(job: Job) -> str:
    ahead = Job.objects.filter(
        Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk),
        state=JobState.PENDING,
        pool_id=job.pool_id,
        run_after__lte=Now(),
    ).count()
    if ahead:
        text = ngettext(
            "%(count)s job of the same pool is before it.",
            "%(count)s jobs of the same pool are before it.",
            ahead,
        )
        return text % {"count": ahead}
    return _("It is next and gets its place within seconds.")
