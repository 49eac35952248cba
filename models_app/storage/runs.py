"""Works on the runs that were asked for: a slice at a time, one process at a time.

A process that dies leaves its claim behind, which runs out; whoever comes next goes on.
"""

import datetime as dt
import logging

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import Now

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.errors import SlipwayError
from models_app.core.states import advance
from models_app.core.storage.errors import StoreUnavailable
from models_app.events.publish import publish_on_commit
from models_app.storage.collecting import Collected, blobs_collect
from models_app.storage.inventory import GRACE, inventory_refresh
from models_app.storage.models import StoreRun
from models_app.storage.states import ALLOWED, RunState
from models_app.storage.verifying import unverified, verify_slice

logger = logging.getLogger(__name__)
CLAIM = dt.timedelta(seconds=90)
#: The same while everything is looked at, about which nothing can be said meanwhile.
LOOKING = dt.timedelta(minutes=30)
#: Checking goes on for so long at a time, and pauses until the next tick: half of the disk's time.
SLICE_S = 5.0
OPEN = (RunState.QUEUED, RunState.RUNNING)


def runs_advance() -> None:
    """A tick: do a part of each run that waits or is under way."""
    for number in (
        StoreRun.objects.filter(state__in=OPEN).order_by("pk").values_list("pk", flat=True)
    ):
        run_advance(number, seconds=SLICE_S)


def run_advance(number: int, *, seconds: float) -> StoreRun | None:
    """Work on a run for about so long; None if another process does."""
    run = _claim(number)
    if run is None:
        return None
    try:
        if run.kind == StoreRun.Kind.COLLECT:
            _collect(run)
        elif verify_slice(run, seconds=seconds, say=lambda: _save(run)):
            _end(run, RunState.DONE)
        else:
            _save(run)
    except StoreUnavailable as error:
        logger.warning("%s waits: %s", run, error.message)
        _save(run)
    except SlipwayError as error:
        run.error = error.message
        _end(run, RunState.FAILED)
    finally:
        StoreRun.objects.filter(pk=number).update(claimed_until=None)
    return run


def _claim(number: int) -> StoreRun | None:
    free = Q(claimed_until=None) | Q(claimed_until__lt=Now())
    rows = StoreRun.objects.filter(free, pk=number, state__in=OPEN)
    if not rows.update(claimed_until=Now() + LOOKING):
        return None
    run = StoreRun.objects.get(pk=number)
    if run.state == RunState.QUEUED:
        if run.kind == StoreRun.Kind.VERIFY:
            _measure(run)
        advance(run, RunState.RUNNING, allowed=ALLOWED)
        _save(run)
    return run


def _measure(run: StoreRun) -> None:
    """How much there is to check."""
    inventory_refresh()
    rows = unverified(run)[: run.sample]
    sizes = rows.aggregate(files=Count("*"), bytes=Sum("size"))
    run.files_total, run.bytes_total = sizes["files"], sizes["bytes"] or 0


def _collect(run: StoreRun) -> None:
    grace = GRACE if run.grace_hours is None else dt.timedelta(hours=run.grace_hours)

    def say(done: Collected) -> None:
        run.files, run.bytes, run.leftovers = done.files, done.bytes, done.leftovers
        _save(run)

    done = blobs_collect(grace=grace, say=say)
    say(done)
    StoreRun.objects.filter(pk=run.pk).update(claimed_until=Now() + LOOKING)
    inventory_refresh()
    _end(run, RunState.DONE)


@transaction.atomic
def _save(run: StoreRun) -> None:
    """Keep the figures and the claim; tell whoever watches."""
    fields = ("files", "bytes", "files_total", "bytes_total", "leftovers", "damaged", "error")
    StoreRun.objects.filter(pk=run.pk).update(
        claimed_until=Now() + CLAIM, **{name: getattr(run, name) for name in fields}
    )
    publish_on_commit("store.changed", {"id": run.pk}, "all")


@transaction.atomic
def _end(run: StoreRun, state: RunState) -> None:
    _save(run)
    advance(run, state, allowed=ALLOWED, finished_at=Now())
    changes = {"files": run.files, "bytes": run.bytes}
    if run.kind == StoreRun.Kind.VERIFY:
        changes["damaged"] = len(run.damaged)
        audit_record(actor=SYSTEM, action="store.verified", obj=run, changes=changes)
    else:
        changes["leftovers"] = run.leftovers
        audit_record(actor=SYSTEM, action="store.collected", obj=run, changes=changes)
