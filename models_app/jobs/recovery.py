"""The sweeper: takes jobs from workers that fell silent, and moves on what was forgotten.

Any number of processes may run it at any time: every statement is guarded by the row's own state.
"""

import datetime as dt
from collections import Counter

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from models_app.jobs.attempts import attempt_lost
from models_app.jobs.draining import drain_nodes
from models_app.jobs.gangs import OTHERS, parts_taking
from models_app.jobs.kind import inline_kinds
from models_app.jobs.log_sweep import logs_sweep
from models_app.jobs.models import Job, JobPart
from models_app.jobs.part import PartState
from models_app.jobs.placement import place_jobs
from models_app.jobs.signals import job_announce, send_go
from models_app.jobs.silence import nodes_look
from models_app.jobs.states import HELD, JobState, ReasonCode
from models_app.pools.models import Node
from models_app.pools.states import NodeState

#: The go signal of a placed job is sent again after this, and its place given up after that.
RESEND_AFTER = dt.timedelta(seconds=5)
UNCLAIMED_AFTER = dt.timedelta(seconds=20)
PAGE = 200


def sweep() -> dict[str, int]:
    """One round; returns how many rows each part moved."""
    return {
        "nodes": nodes_look(),
        "recovered": recover_expired() + recover_parts(Q(lease_until__lt=Now())),
        "returned": return_unclaimed(),
        "drained": drain_nodes(),
        "placed": place_jobs(),
        "resent": resend_go(),
        "logs": logs_sweep(),
    }


def recover_expired() -> int:
    """Jobs whose lease ran out go back to the queue, or end if they were being cancelled.

    Those of a quarantined node are held back for a while: it may be us who are cut off.
    """
    quarantined = Node.objects.filter(state=NodeState.QUARANTINED).values("name")
    held = Q(node_name__in=quarantined)
    hold = dt.timedelta(seconds=settings.MASS_LOSS_HOLD_S)
    return _recover(
        Q(lease_until__lt=Now()) & ~held,
        ReasonCode.LEASE_EXPIRED,
        "The worker stopped answering; the job goes on elsewhere from its last checkpoint.",
    ) + _recover(
        Q(lease_until__lt=Now()) & held,
        ReasonCode.NODE_LOST,
        "Its node was lost together with others; the job waits for it for a while.",
        hold,
    )


def recover_node(*, node: str, incarnation: str) -> int:
    """A worker has restarted under its name: what its earlier self held is free at once."""
    Job.objects.filter(node_name=node, hold_until__isnull=False, state=JobState.PENDING).update(
        hold_until=None, run_after=Now()
    )
    lost = Q(node_name=node) & ~Q(worker=incarnation)
    return _recover(
        lost,
        ReasonCode.NODE_LOST,
        f"The worker on {node} was restarted; the job goes on from its last checkpoint.",
    ) + recover_parts(lost & Q(state=PartState.RUNNING))


def recover_parts(condition: Q) -> int:
    """Jobs on several nodes one of which is lost: the attempt ends everywhere, as one."""
    count = 0
    lost = parts_taking().filter(condition, OTHERS, job__state__in=sorted(HELD)).order_by("job_id")
    for part in lost[:PAGE]:
        with transaction.atomic():
            row = (
                Job.objects.select_for_update(skip_locked=True)
                .filter(pk=part.job_id, epoch=part.epoch, state__in=sorted(HELD))
                .first()
            )
            if row is not None and lost.filter(pk=part.pk).exists():
                _lose(row, part)
                count += 1
    return count


def _lose(row: Job, part: JobPart) -> None:
    where = f"{part.node_name} (part {part.number + 1} of {row.nodes})"
    if part.state == PartState.PLACED:
        message = f"{where} has not taken up its part; the job waits for its nodes again."
        attempt_lost(row, ReasonCode.NODE_LOST, message, counted=False)
    else:
        message = (
            f"The worker on {where} stopped answering; the job goes on from its last checkpoint."
        )
        attempt_lost(row, ReasonCode.LEASE_EXPIRED, message)


def _recover(condition: Q, code: str, message: str, hold: dt.timedelta | None = None) -> int:
    count = 0
    ids = (
        Job.objects.filter(condition, state__in=sorted(HELD))
        .order_by("id")
        .values_list("pk", flat=True)
    )
    for pk in ids[:PAGE]:
        with transaction.atomic():
            row = (
                Job.objects.select_for_update(skip_locked=True)
                .filter(condition, pk=pk, state__in=sorted(HELD))
                .first()
            )
            if row is not None:
                attempt_lost(row, code, message, hold)
                count += 1
    return count


def return_unclaimed() -> int:
    """Jobs whose node did not claim them in time, or takes no more, lose their place."""
    away = Node.objects.exclude(state__in=(NodeState.READY, NodeState.CORDONED)).values("name")
    # Inline jobs take no slot, so many of them may wait on a living node for their turn.
    slow = Q(scheduled_at__lt=Now() - UNCLAIMED_AFTER) & ~Q(kind__in=inline_kinds())
    parts = parts_taking().filter(node_name__in=away).values("job")
    late = slow | Q(node_name__in=away) | Q(pk__in=parts)
    count = 0
    rows = Job.objects.filter(late, state=JobState.SCHEDULED)
    for pk in list(rows.values_list("pk", flat=True)[:PAGE]):
        with transaction.atomic():
            if rows.filter(pk=pk).update(state=JobState.PENDING):
                job_announce(Job.objects.get(pk=pk))
                count += 1
    return count


def resend_go() -> int:
    """Wake the nodes of placed jobs that were not claimed although a signal was sent."""
    waiting = Job.objects.filter(
        state=JobState.SCHEDULED, sent_at__lt=Now() - RESEND_AFTER
    ).order_by("-priority", "id")
    rows = list(waiting.values_list("pk", "node_name")[:PAGE])
    for node_name, count in Counter(name for _pk, name in rows).items():
        send_go(node_name, count)
    numbers = [pk for pk, _name in rows]
    Job.objects.filter(pk__in=numbers, state=JobState.SCHEDULED).update(sent_at=Now())
    return len(rows)
