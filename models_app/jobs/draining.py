"""Empties draining nodes: what can save its work moves, streams finish, short work ends.

Replicas are moved by their deployments (`deployments.reconcile`), which start another one first.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.states import advance
from models_app.jobs.gangs import jobs_on
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.placement import place_on_commit
from models_app.jobs.signals import job_announce, send_look_on_commit
from models_app.jobs.states import ALLOWED, JobState, ReasonCode
from models_app.pools.models import Node
from models_app.pools.services.registration import node_announce
from models_app.pools.states import ALLOWED as NODE_ALLOWED
from models_app.pools.states import NodeState


@dataclass(frozen=True, kw_only=True)
class Occupant:
    """A job that is still on a node, and what it waits for."""

    job: Job
    why: str


def drain_nodes() -> int:
    """One round over all draining nodes; returns how many jobs were asked to leave."""
    names = Node.objects.filter(state=NodeState.DRAINING).values_list("name", flat=True)
    return sum(_drain(name) for name in list(names))


@transaction.atomic
def _drain(name: str) -> int:
    node = (
        Node.objects.select_for_update(skip_locked=True)
        .filter(name=name, state=NodeState.DRAINING)
        .first()
    )
    if node is None:
        return 0
    jobs = jobs_on(name).select_for_update(skip_locked=True)
    forced = node.drain_deadline_at is not None and node.drain_deadline_at <= now()
    asked = sum(_move_away(job, forced) for job in jobs.order_by("pk"))
    if not jobs_on(name).exists():
        _emptied(node)
    return asked


def _move_away(job: Job, forced: bool) -> bool:
    if job.state == JobState.SCHEDULED:
        Job.objects.filter(pk=job.pk, state=JobState.SCHEDULED).update(state=JobState.PENDING)
        place_on_commit()
        return True
    if job.state != JobState.RUNNING:
        return False
    if not (forced or job_kinds.get(job.kind).pausable):
        return False
    text = "Its node is being emptied; it goes on elsewhere from its last checkpoint."
    advance(
        job,
        JobState.PREEMPTING,
        allowed=ALLOWED,
        yield_reason=ReasonCode.DRAINED,
        reason=text,
    )
    audit_record(actor=SYSTEM, action="job.drained", obj=job, changes={"forced": forced})
    job_announce(job)
    send_look_on_commit(job)
    return True


def _emptied(node: Node) -> None:
    to = NodeState.REMOVED if node.remove_when_empty else NodeState.CORDONED
    advance(
        node,
        to,
        allowed=NODE_ALLOWED,
        state_reason="It is empty.",
        state_changed_at=Now(),
        drain_deadline_at=None,
        remove_when_empty=False,
    )
    audit_record(actor=SYSTEM, action="node.drained", obj=node)
    node_announce(node)


def occupants(node: Node) -> list[Occupant]:
    """What still holds room on a node, and why it is still there."""
    rows = jobs_on(node.name).select_related("team").order_by("pk")
    return [Occupant(job=job, why=_why_still_there(job, node)) for job in rows]


def _why_still_there(job: Job, node: Node) -> str:
    if node.state != NodeState.DRAINING:
        return ""
    kind = job_kinds.get(job.kind)
    if job.state in (JobState.PREEMPTING, JobState.PAUSING):
        return _("It is saving a checkpoint.")
    if job.state == JobState.CANCELING:
        return _("It is finishing what it has begun.")
    if kind.long_lived:
        return _("It answers requests until another replica is ready elsewhere.")
    if kind.pausable:
        return _("It is about to be asked to save a checkpoint.")
    return _("It cannot be interrupted without starting again, so it may end by itself.")
