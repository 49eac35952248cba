"""What is asked of the store by people and by the clock."""

import datetime as dt
import logging
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.errors import Conflict, FieldError
from models_app.core.permission import require
from models_app.core.storage.errors import StoreUnavailable
from models_app.events.publish import publish_on_commit
from models_app.storage.collecting import blobs_collect
from models_app.storage.inventory import GRACE, inventory_is_due
from models_app.storage.models import StoreRun
from models_app.storage.states import RunState
from models_app.storage.uploads import uploads_expire

logger = logging.getLogger(__name__)
#: Storing a large tree takes hours, and only then its files are named.
LEAST_GRACE_H, MOST_GRACE_H = 6, 24 * 365


def store_collect(*, actor: Actor, grace_hours: float | None = None) -> StoreRun:
    """Ask for what nobody names to be removed, now instead of by the clock. A worker does it.

    `grace_hours`: for how long nobody may have named it. Raises FieldError, and Conflict while
    such a run is under way.
    """
    if grace_hours is not None and not LEAST_GRACE_H <= grace_hours <= MOST_GRACE_H:
        said = _("Use a number of hours from %(least)s to %(most)s.")
        raise FieldError("grace_hours", said % {"least": LEAST_GRACE_H, "most": MOST_GRACE_H})
    hours = GRACE.total_seconds() / 3600 if grace_hours is None else grace_hours
    changes = {"grace_hours": hours}
    return _request(
        actor, StoreRun.Kind.COLLECT, "store.collect_requested", changes, grace_hours=grace_hours
    )


def store_verify(*, actor: Actor, sample: int | None = None) -> StoreRun:
    """Ask for all files, or the `sample` that were checked longest ago, to be read and compared.

    Raises FieldError, and Conflict while such a run is under way.
    """
    if sample is not None and not 1 <= sample <= 10**9:
        raise FieldError("sample", _("Use a whole number from 1, or leave it empty for all."))
    return _request(
        actor, StoreRun.Kind.VERIFY, "store.verify_requested", {"sample": sample}, sample=sample
    )


@transaction.atomic
def _request(
    actor: Actor, kind: StoreRun.Kind, action: str, changes: dict[str, Any], **fields: Any
) -> StoreRun:
    require(actor, "storage.manage_store")
    try:
        with transaction.atomic():
            run = StoreRun.objects.create(kind=kind, created_by_id=actor.pk, **fields)
    except IntegrityError:
        said = _("Such a run is under way. Wait until it has ended.")
        raise Conflict(said) from None
    audit_record(actor=actor, action=action, obj=run, changes=changes)
    publish_on_commit("store.changed", {"id": run.pk}, "all")
    return run


def store_tidy(*, grace: dt.timedelta = GRACE) -> int:
    """By the clock, where the store is seen: look, remove what may go, begin a check that is due.

    How many files went.
    """
    uploads_expire()
    _verify_when_due()
    if not inventory_is_due():
        return 0
    try:
        done = blobs_collect(grace=grace)
    except StoreUnavailable as error:
        logger.warning("the store is not tidied up: %s", error.message)
        return 0
    if done.files or done.leftovers:
        _record(done.files, done.bytes, done.leftovers)
    return done.files


@transaction.atomic
def _record(files: int, size: int, leftovers: int) -> None:
    run = StoreRun.objects.create(
        kind=StoreRun.Kind.COLLECT, state=RunState.DONE, finished_at=now(),
        files=files, bytes=size, leftovers=leftovers,
    )  # fmt: skip
    changes = {"files": files, "bytes": size, "leftovers": leftovers}
    audit_record(actor=SYSTEM, action="store.collected", obj=run, changes=changes)
    publish_on_commit("store.changed", {"id": run.pk}, "all")


def _verify_when_due() -> None:
    if not settings.VERIFY_DAYS:
        return
    due = now() - dt.timedelta(days=settings.VERIFY_DAYS)
    of_all = StoreRun.objects.filter(kind=StoreRun.Kind.VERIFY, sample=None)
    if of_all.filter(created_at__gt=due).exists():
        return
    try:
        store_verify(actor=SYSTEM)
    except Conflict:
        return  # somebody's sample is being checked; the next tick asks again
