"""Scaling: looks at what deployments have to do and writes down how many replicas they get.

Any process may do so at any time. The decision is made without a lock first, since nearly always
it is that nothing changes; what does change is decided again under the deployment's lock.
"""

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.errors import FieldError
from models_app.core.names import clean_text
from models_app.core.permission import require
from models_app.deployments.load import Load, load_now
from models_app.deployments.models import Deployment, Revision, ScalingEvent
from models_app.deployments.scaling import Decision, decide
from models_app.deployments.scaling_facts import facts_of, scaled
from models_app.deployments.services.locking import (
    announce,
    deployment_locked,
    locked,
    reconcile_soon,
)
from models_app.deployments.wanted import is_scaled, scaling_of, wanted_replicas

logger = logging.getLogger(__name__)

#: So long people may hold a number at most.
LONGEST_HOLD = dt.timedelta(days=7)


def scaling_round() -> int:
    """Look at every deployment that scales; returns how many got another number."""
    rows = list(scaled())
    if not rows:
        return 0
    loads = load_now()
    return sum(_guarded(row, loads) for row in rows)


def _guarded(row: Deployment, loads: Mapping[int, Load] | None) -> bool:
    """One broken deployment must not keep the others from scaling."""
    try:
        if not _changes(row, _decided(row, loads)):
            return False
        return _scale(row.pk, loads)
    except Exception:
        logger.exception("deployment %s could not be scaled", row.pk)
        return False


@transaction.atomic
def _scale(pk: int, loads: Mapping[int, Load] | None) -> bool:
    if deployment_locked(pk, skip=True) is None:
        return False
    row = scaled().filter(pk=pk).first()
    if row is None:
        return False
    decision = _decided(row, loads)
    if not _changes(row, decision):
        return False
    if decision.cause:
        _write(row, decision.wanted, decision.cause, decision.figures, SYSTEM)
    Deployment.objects.filter(pk=pk).update(
        scaled_to=decision.wanted,
        over_since=decision.over_since,
        calm_since=decision.calm_since,
    )
    return bool(decision.cause)


def _decided(row: Deployment, loads: Mapping[int, Load] | None) -> Decision:
    active = row.active_revision
    assert active is not None
    load = None if loads is None else loads.get(row.pk, Load())
    if not is_scaled(active):
        return Decision(wanted=active.replicas)
    return decide(scaling_of(active), facts_of(row, load))


def _changes(row: Deployment, decision: Decision) -> bool:
    active = row.active_revision
    assert active is not None
    if not is_scaled(active):
        # It was scaled once, and is not any more.
        return row.scaled_to is not None
    said = (decision.wanted, decision.over_since, decision.calm_since)
    return said != (row.scaled_to, row.over_since, row.calm_since)


def scale_adopt(deployment: Deployment, revision: Revision) -> None:
    """Under the deployment's lock, when a revision becomes the active one: its bounds count now.

    What slept is awake, since the new replicas are there; it sleeps again when nobody asks.
    """
    number = None
    if is_scaled(revision):
        number = max(1, wanted_replicas(deployment, revision))
    deployment.scaled_to = number
    Deployment.objects.filter(pk=deployment.pk).update(
        scaled_to=number, over_since=None, calm_since=None
    )


@transaction.atomic
def deployment_hold(
    *, actor: Actor, deployment: Deployment, replicas: int, for_s: int = 3600, reason: str = ""
) -> Deployment:
    """Set the number of a deployment that scales, and keep at least so many for `for_s` seconds.

    More come where there is more to do. Zero seconds hold nothing: scaling goes on from there, and
    what was held before is let go. Raises FieldError outside the bounds of the active revision.
    """
    require(actor, "deployments.change_deployment", deployment)
    row = locked(deployment)
    active = row.active_revision
    if active is None or not is_scaled(active):
        raise FieldError("replicas", _("It does not scale by itself."))
    scaling = scaling_of(active)
    if not scaling.min_replicas <= replicas <= scaling.max_replicas:
        said = _("Scaling keeps to %(fewest)s to %(most)s replicas; other bounds are a revision.")
        words = {"fewest": scaling.min_replicas, "most": scaling.max_replicas}
        raise FieldError("replicas", said % words)
    if not 0 <= for_s <= LONGEST_HOLD.total_seconds():
        raise FieldError("for_s", _("Hold it for 0 seconds up to 7 days."))
    held = for_s > 0
    figures = {"for_s": for_s, "reason": clean_text(reason, "reason", limit=2000)}
    _write(row, replicas, "hand", figures, actor)
    Deployment.objects.filter(pk=row.pk).update(
        scaled_to=replicas,
        held_at=replicas if held else None,
        held_until=now() + dt.timedelta(seconds=for_s) if held else None,
        over_since=None,
        calm_since=None,
    )
    row.refresh_from_db()
    return row


def _write(row: Deployment, wanted: int, cause: str, figures: dict[str, Any], actor: Actor) -> None:
    """Under the lock: the event, the audit record, and who has to hear of it."""
    assert row.active_revision is not None
    before = wanted_replicas(row, row.active_revision)
    ScalingEvent.objects.create(
        deployment=row, before=before, after=wanted, cause=cause, figures=figures
    )
    changes = {"before": before, "after": wanted, "cause": cause, **figures}
    audit_record(actor=actor, action="deployment.scaled", obj=row, changes=changes)
    # A deployment that falls asleep or wakes has another row in the gateway's table.
    announce(row, routes=0 in (before, wanted))
    reconcile_soon()
