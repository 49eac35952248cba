"""A round of the clock: every rule in force is compared with what is measured now.

One process at a time, in one transaction; every time is the database's. A rule that cannot be
measured (its statement fails) leaves its alerts as they are. What is not known never fires, and
ends an alert after a while, as a condition does that no longer holds.
"""

import datetime as dt
import logging
from collections import defaultdict

from django.db import DatabaseError, connection, transaction

from models_app.alerts.measuring import Measurements
from models_app.alerts.models import Alert
from models_app.alerts.rules import RuleInForce, rules_in_force
from models_app.alerts.services import alert_fire, alert_raise, alert_resolve
from models_app.alerts.states import AlertState, Ending
from models_app.configs.specs.alerts import SIGNALS
from models_app.core.errors import WrongState
from models_app.deployments.models import Deployment

logger = logging.getLogger(__name__)
#: Identifies the lock of the evaluation among the database's advisory locks.
LOCK = 0x736C_6970_0002
#: An alert ends when its condition was false for as long as it must hold, and at most for this.
MOST_HOLD = dt.timedelta(seconds=60)
#: After such a gap between two looks nobody knows what was in between: the time counts anew.
GAP = dt.timedelta(seconds=90)
#: How long alerts that are over are kept; the audit log keeps what happened for good.
KEPT = dt.timedelta(days=90)


@transaction.atomic
def alerts_evaluate() -> int:
    """One round; returns how many alerts are open after it, or 0 where another process is at it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s), statement_timestamp()", [LOCK])
        locked, at = cursor.fetchone()
    if not locked:
        return 0
    rows = Alert.objects.exclude(state=AlertState.RESOLVED).order_by("pk")
    left = {(row.config_id, row.rule, row.subject): row for row in rows}
    measurements, unknown = Measurements(), set[tuple[int, str]]()
    known: dict[tuple[int, str], list[RuleInForce]] = defaultdict(list)
    for entry in rules_in_force():
        rule = (entry.revision.config_id, entry.rule.name)
        known[rule].append(entry)
        try:
            with transaction.atomic():
                values = measurements.of(entry)
        except DatabaseError:
            logger.exception("the rule %s of %s was not measured", entry.rule.name, entry.revision)
            unknown.add(rule)
            continue
        for subject, value in values.items():
            _guarded(left.pop((*rule, subject), None), entry, subject, value, at)
    for (config, name, subject), alert in left.items():
        if (config, name) in unknown:
            continue
        source = _still_about(alert, known[config, name])
        if source is not None and SIGNALS[source.rule.signal].else_zero:
            _guarded(alert, source, subject, 0.0, at)
        else:
            _end(alert, Ending.RULE_GONE if source is None else Ending.NO_DATA, at)
    Alert.objects.filter(resolved_at__lt=at - KEPT).delete()
    return Alert.objects.exclude(state=AlertState.RESOLVED).count()


def _still_about(alert: Alert, entries: list[RuleInForce]) -> RuleInForce | None:
    """The rule in force that an alert comes from, if there still is one for its subject."""
    environment = ""
    if alert.subject_kind == "deployment":
        rows = Deployment.objects.filter(team_id=alert.team_id, name=alert.subject)
        environment = rows.values_list("environment__name", flat=True).first() or ""
    return next((row for row in entries if row.is_about(alert.subject, environment)), None)


def _guarded(
    alert: Alert | None, entry: RuleInForce, subject: str, value: float, at: dt.datetime
) -> None:
    try:
        if entry.rule.holds(value):
            _holds(alert, entry, subject, value, at)
        elif alert is not None:
            _clears(alert, entry, value, at)
    except WrongState:
        pass  # somebody has just acknowledged it; the next round sees that


def _holds(
    alert: Alert | None, entry: RuleInForce, subject: str, value: float, at: dt.datetime
) -> None:
    if alert is None:
        alert = alert_raise(entry=entry, subject=subject, value=value, at=at)
    elif alert.state == AlertState.PENDING and at - alert.measured_at > GAP:
        alert.since = at
    waited = at - alert.since >= dt.timedelta(seconds=entry.rule.for_seconds)
    if alert.state == AlertState.PENDING and waited:
        alert_fire(alert=alert, entry=entry, value=value, at=at)
        return
    _keep(alert, value, at, since=alert.since, clear_since=None)


def _clears(alert: Alert, entry: RuleInForce, value: float, at: dt.datetime) -> None:
    if alert.state == AlertState.PENDING:
        _forget(alert)
        return
    hold = min(dt.timedelta(seconds=entry.rule.for_seconds), MOST_HOLD)
    begun = alert.clear_since if at - alert.measured_at <= GAP else None
    _keep(alert, value, at, clear_since=begun or at)
    if at - (begun or at) >= hold:
        alert_resolve(alert=alert, ending=Ending.CLEARED, at=at)


def _end(alert: Alert, ending: Ending, at: dt.datetime) -> None:
    """Nothing is measured for it: at once without its rule, else after a while as above."""
    if alert.state == AlertState.PENDING:
        _forget(alert)
        return
    try:
        if ending == Ending.NO_DATA and alert.clear_since is None:
            Alert.objects.filter(pk=alert.pk).update(clear_since=at)
        elif ending == Ending.RULE_GONE or at - (alert.clear_since or at) >= MOST_HOLD:
            alert_resolve(alert=alert, ending=ending, at=at)
    except WrongState:
        pass  # as above


def _forget(alert: Alert) -> None:
    Alert.objects.filter(pk=alert.pk, state=AlertState.PENDING).delete()


def _keep(alert: Alert, value: float, at: dt.datetime, **times: dt.datetime | None) -> None:
    """What was measured, whatever state somebody gave it meanwhile."""
    rows = Alert.objects.filter(pk=alert.pk).exclude(state=AlertState.RESOLVED)
    rows.update(value=value, measured_at=at, **times)
