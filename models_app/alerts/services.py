"""What happens to alerts: the evaluation raises and resolves them, people acknowledge them."""

import datetime as dt
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.alerts.models import Alert
from models_app.alerts.rules import RuleInForce
from models_app.alerts.states import ALLOWED, AlertState, Ending
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.errors import WrongState
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit


def alert_raise(*, entry: RuleInForce, subject: str, value: float, at: dt.datetime) -> Alert:
    """The condition has begun to hold: nobody is told yet."""
    return Alert.objects.create(
        team_id=entry.team_id, config=entry.revision.config, rule=entry.rule.name,
        subject=subject, value=value, since=at, measured_at=at, **_said(entry),
    )  # fmt: skip


@transaction.atomic
def alert_fire(*, alert: Alert, entry: RuleInForce, value: float, at: dt.datetime) -> None:
    """The condition has held for as long as the rule asks. Raises WrongState if it has moved."""
    advance(
        alert, AlertState.FIRING, allowed=ALLOWED, fired_at=at, value=value, measured_at=at,
        **_said(entry),
    )  # fmt: skip
    changes = {
        "severity": alert.severity, "value": value, "threshold": alert.threshold,
        "config": str(alert.revision),
    }  # fmt: skip
    audit_record(actor=SYSTEM, action="alert.fired", obj=alert, changes=changes)
    _announce(alert)


@transaction.atomic
def alert_resolve(*, alert: Alert, ending: Ending, at: dt.datetime) -> None:
    """It is over, for this reason. Raises WrongState if it has moved."""
    advance(alert, AlertState.RESOLVED, allowed=ALLOWED, ended_by=ending, resolved_at=at)
    audit_record(actor=SYSTEM, action="alert.resolved", obj=alert, changes={"why": str(ending)})
    _announce(alert)


@transaction.atomic
def alert_acknowledge(*, actor: Actor, alert: Alert) -> Alert:
    """Somebody looks after it: it counts no longer. Raises WrongState unless it fires."""
    require(actor, "alerts.acknowledge_alert", alert)
    if alert.state != AlertState.FIRING:
        raise WrongState(_("Only an alert that fires can be acknowledged."), state=alert.state)
    advance(
        alert, AlertState.ACKNOWLEDGED, allowed=ALLOWED, acknowledged_at=Now(),
        acknowledged_by_id=actor.pk,
    )  # fmt: skip
    audit_record(actor=actor, action="alert.acknowledged", obj=alert)
    _announce(alert)
    return alert


def _said(entry: RuleInForce) -> dict[str, Any]:
    """What the rule says now, for the row."""
    rule = entry.rule
    return {
        "revision": entry.revision, "overlay": entry.overlay, "signal": rule.signal,
        "severity": rule.severity, "threshold": rule.threshold, "note": rule.note,
        "above": rule.above is not None,
    }  # fmt: skip


def _announce(alert: Alert) -> None:
    data = {"id": alert.pk, "state": str(alert.state), "severity": alert.severity}
    publish_on_commit("alert.changed", data, f"team.{alert.team_id}")
