"""The sweeper: takes jobs from workers that fell silent, and sends lost go signals again.

Any number of processes may run it at any time: every statement is guarded by the row's own state.
"""

import datetime as dt

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from models_app.jobs.attempts import attempt_lost
from models_app.jobs.models import Job
from models_app.jobs.services import send_go
from models_app.jobs.states import HELD, JobState, ReasonCode

RESEND_AFTER = dt.timedelta(seconds=10)
PAGE = 200


def sweep() -> dict[str, int]:
    """One round; returns how many jobs were recovered and how many signals sent again."""
    return {"recovered": recover_expired(), "resent": resend_go()}


def recover_expired() -> int:
    """Jobs whose lease ran out go back to the queue, or end if they were being cancelled."""
    return _recover(
        Q(lease_until__lt=Now()),
        ReasonCode.LEASE_EXPIRED,
        "The worker stopped answering; the job goes on elsewhere from its last checkpoint.",
    )


def recover_node(*, node: str, incarnation: str) -> int:
    """A worker has restarted under its name: what its earlier self held is free at once."""
    return _recover(
        Q(node_name=node) & ~Q(worker=incarnation),
        ReasonCode.NODE_LOST,
        f"The worker on {node} was restarted; the job goes on from its last checkpoint.",
    )


def _recover(condition: Q, code: str, message: str) -> int:
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
                attempt_lost(row, code, message)
                count += 1
    return count


def resend_go() -> int:
    """Queued jobs whose signal was never sent, or long ago."""
    waiting = Job.objects.filter(
        Q(sent_at=None) | Q(sent_at__lt=Now() - RESEND_AFTER),
        state=JobState.PENDING,
        run_after__lte=Now(),
    ).order_by("-priority", "id")
    rows = list(waiting.values_list("pk", "queue")[:PAGE])
    for pk, queue in rows:
        send_go(pk, queue)
    return len(rows)
