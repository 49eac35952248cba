"""Notices nodes that fell silent; many at once are quarantined instead of given up.

When most of a cluster falls silent in the same moment, the cause is more likely a network or our
own database than that many machines. Starting everything anew on the few that are left would take
them down as well, so the jobs are held back until their nodes return, an operator lets them go, or
the hold ends.
"""

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.permission import require
from models_app.jobs.models import Job
from models_app.jobs.placement import place_on_commit
from models_app.jobs.signals import job_announce
from models_app.jobs.states import JobState
from models_app.pools.models import Node
from models_app.pools.selectors import SILENT_AFTER, nodes_alive
from models_app.pools.services.registration import node_announce, node_silent
from models_app.pools.states import NodeState

WORKING = (NodeState.READY, NodeState.CORDONED, NodeState.DRAINING)


def nodes_look() -> int:
    """One round; returns how many nodes were found silent."""
    silent = Node.objects.filter(state__in=WORKING, last_seen_at__lt=Now() - SILENT_AFTER)
    names = list(silent.values_list("name", flat=True))
    if not names:
        return 0
    many = _too_many(len(names))
    for name in names:
        with transaction.atomic():
            node = silent.select_for_update(skip_locked=True).filter(name=name).first()
            if node is not None:
                _lose(node, many, len(names))
    return len(names)


def _too_many(count: int) -> bool:
    """At least MASS_LOSS_NODES, and at least half of those that were there."""
    return count >= settings.MASS_LOSS_NODES and count >= len(nodes_alive())


def _lose(node: Node, many: bool, count: int) -> None:
    if many:
        reason = f"It fell silent together with {count - 1} other nodes."
        node_silent(node, reason, NodeState.QUARANTINED)
    else:
        node_silent(node, "It gives no sign of life.")


@transaction.atomic
def held_jobs_release(*, actor: Actor, node: Node | None = None) -> int:
    """An operator lets go what is held back for one lost node, or for all; returns how many jobs.

    They start elsewhere at once. If their nodes come back after all, their old attempts end there.
    """
    require(actor, "pools.manage_node")
    held = Job.objects.filter(state=JobState.PENDING, hold_until__isnull=False)
    if node is not None:
        held = held.filter(node_name=node.name)
    jobs = list(held)
    for lost in Node.objects.filter(name__in={job.node_name for job in jobs}):
        count = jobs_let_go(lost.name)
        audit_record(actor=actor, action="node.jobs_released", obj=lost, changes={"jobs": count})
        node_announce(lost)
    for job in jobs:
        job_announce(job)
    return len(jobs)


def jobs_let_go(node_name: str) -> int:
    """The jobs held back for a node may start elsewhere, or there again; returns how many."""
    with transaction.atomic():
        place_on_commit()
        return Job.objects.filter(
            node_name=node_name, state=JobState.PENDING, hold_until__isnull=False
        ).update(hold_until=None, run_after=Now())
